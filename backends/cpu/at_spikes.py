"""What is kept at spikes, by runtime/at_spikes.cpp: the same format as torch's, without its calls and their threads."""

import ctypes
from functools import cache

import torch
from torch import Tensor

from norse.backends.at_spikes import WORD
from norse.backends.cpu.build import load_runtime


class NativeCompaction:
    """A `norse.backends.at_spikes.Compaction` of contiguous tensors on the CPU."""

    def pack(self, decision: Tensor) -> tuple[Tensor, int]:
        bits = torch.empty(-(-decision.numel() // WORD), dtype=torch.int64)
        return bits, _library().norse_pack(decision.data_ptr(), decision.numel(), bits.data_ptr())

    def unpack(self, bits: Tensor, into: Tensor) -> None:
        _library().norse_unpack(bits.data_ptr(), into.numel(), into.data_ptr())

    def gather(self, x: Tensor, bits: Tensor, ones: int) -> Tensor:
        values = torch.empty(ones, dtype=x.dtype)
        _library().norse_gather(x.data_ptr(), x.element_size(), bits.data_ptr(), x.numel(), values.data_ptr())
        return values

    def scatter(self, values: Tensor, bits: Tensor, into: Tensor) -> None:
        _library().norse_scatter(values.data_ptr(), into.element_size(), bits.data_ptr(), into.numel(), into.data_ptr())


@cache
def _library() -> ctypes.CDLL:
    library = load_runtime("at_spikes")
    pointer, count, size = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32
    library.norse_pack.restype, library.norse_pack.argtypes = count, (pointer, count, pointer)
    library.norse_unpack.restype, library.norse_unpack.argtypes = None, (pointer, count, pointer)
    for function in (library.norse_gather, library.norse_scatter):
        function.restype, function.argtypes = None, (pointer, size, pointer, count, pointer)
    return library
