"""Loads machine code on a GPU and launches its kernels on torch's current stream, through CUDA's driver library."""

import ctypes
from functools import cache

import torch

from norse.backends.c_family.call import Buffer, Call
from norse.backends.cuda.nvrtc import compile_text
from norse.compiler.backend import BackendUnavailable


@cache
def library() -> ctypes.CDLL:
    if torch.version.cuda is None:
        raise BackendUnavailable(f"torch {torch.__version__} is built without CUDA")
    if not torch.cuda.is_available():
        raise BackendUnavailable("torch sees no CUDA GPU")
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise BackendUnavailable("CUDA's driver library (libcuda.so.1 or nvcuda.dll) can't be loaded")


class GpuModule:
    """Kernels of a text, compiled for each GPU that runs them."""

    device = "cuda"

    def __init__(self, text: str, *, fast_math: bool = False) -> None:
        self._text, self._fast_math = text, fast_math
        self._modules: dict[int, ctypes.c_void_p] = {}
        self._functions: dict[tuple[int, str], ctypes.c_void_p] = {}
        library()
        self._load(torch.cuda.current_device())

    def launch(
        self, symbol: str, blocks: int, threads: int, call: Call, buffers: ctypes.Array[Buffer], device: torch.device
    ) -> None:
        index = torch.cuda.current_device() if device.index is None else device.index
        with torch.cuda.device(index):
            function = self._function(index, symbol)
            arguments = (ctypes.c_void_p * 2)(ctypes.addressof(call), ctypes.addressof(buffers))
            stream = ctypes.c_void_p(torch.cuda.current_stream(index).cuda_stream)
            grid, block = [ctypes.c_uint(n) for n in (blocks, 1, 1)], [ctypes.c_uint(n) for n in (threads, 1, 1)]
            _check(library().cuCtxSetCurrent(_context(index)))  # autograd's threads may not have it yet
            _check(library().cuLaunchKernel(function, *grid, *block, ctypes.c_uint(0), stream, arguments, None))

    def _function(self, index: int, symbol: str) -> ctypes.c_void_p:
        if (index, symbol) not in self._functions:
            function = ctypes.c_void_p()
            module = self._load(index)
            _check(library().cuModuleGetFunction(ctypes.byref(function), module, symbol.encode()))
            self._functions[index, symbol] = function
        return self._functions[index, symbol]

    def _load(self, index: int) -> ctypes.c_void_p:
        if index not in self._modules:
            code = compile_text(self._text, torch.cuda.get_device_capability(index), fast_math=self._fast_math)
            module = ctypes.c_void_p()
            with torch.cuda.device(index):
                _check(library().cuCtxSetCurrent(_context(index)), BackendUnavailable)
                _check(library().cuModuleLoadData(ctypes.byref(module), code), BackendUnavailable)
            self._modules[index] = module
        return self._modules[index]


@cache
def _context(index: int) -> ctypes.c_void_p:
    """The context of a GPU that torch works in, too."""
    device, context = ctypes.c_int(), ctypes.c_void_p()
    _check(library().cuInit(0), BackendUnavailable)
    # torch counts only the GPUs in CUDA_VISIBLE_DEVICES, and so does the driver.
    _check(library().cuDeviceGet(ctypes.byref(device), index), BackendUnavailable)
    _check(library().cuDevicePrimaryCtxRetain(ctypes.byref(context), device), BackendUnavailable)
    return context


def _check(status: int, error: type[RuntimeError] = RuntimeError) -> None:
    if status:
        name = ctypes.c_char_p()
        library().cuGetErrorName(status, ctypes.byref(name))
        raise error(f"CUDA driver: {(name.value or b'unknown error').decode()} ({status})")
