"""Runs CUDA kernels on the CPU: the C++ compiler builds the very text that NVRTC gets, after a header of macros."""

import ctypes

import torch

from norse.backends.c_family.call import Buffer, Call
from norse.backends.cpu.build import load
from norse.backends.cuda.text import kernel_headers, shim, with_headers


class ShimModule:
    """Kernels of a text, built by the C++ compiler. `descending` runs a block's threads from the last to the first."""

    device = "cpu"

    def __init__(
        self, text: str, symbols: tuple[str, ...], *, fast_math: bool = False, descending: bool = False
    ) -> None:
        launchers = "\n".join(f"NORSE_SHIM_LAUNCHER({symbol})" for symbol in symbols)
        source = f"{shim()}\n{with_headers(text, kernel_headers())}\n{launchers}\n"
        self._library = load(source, fast_math=fast_math)
        self._descending = descending

    def launch(
        self, symbol: str, blocks: int, threads: int, call: Call, buffers: ctypes.Array[Buffer], device: torch.device
    ) -> None:
        function = self._library[f"{symbol}_launch"]
        arguments = (ctypes.c_void_p * 2)(ctypes.addressof(call), ctypes.addressof(buffers))
        if function(ctypes.c_uint(blocks), ctypes.c_uint(threads), int(self._descending), arguments):
            raise RuntimeError(f"{symbol}: some threads of a block ended while others waited at a barrier")
