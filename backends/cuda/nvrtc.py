"""Compiles CUDA C++ with NVRTC, the compiler library that comes with torch's CUDA builds, and keeps what it made."""

import ctypes
import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path

import torch

from norse.backends.cpu.build import cache_directory, keep
from norse.backends.cuda.text import kernel_headers, standard_headers, with_headers
from norse.compiler.backend import BackendUnavailable

# No contraction into FMA: eager's bits. Division, square root and denormals are IEEE's unless asked otherwise.
_EXACT, _FAST = ("--fmad=false",), ("--use_fast_math",)


@cache
def library() -> ctypes.CDLL:
    """NVRTC of torch's CUDA version: loaded already, on the loader's path, or in the `nvidia` wheels."""
    if torch.version.cuda is None:
        raise BackendUnavailable(f"torch {torch.__version__} is built without CUDA")
    major = torch.version.cuda.split(".")[0]
    names = [f"libnvrtc.so.{major}", f"nvrtc64_{major}0_0.dll", *map(str, _in_wheels(major))]
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise BackendUnavailable(f"NVRTC of CUDA {major} is not installed: tried {', '.join(names)}")


def _in_wheels(major: str) -> list[Path]:
    spec = importlib.util.find_spec("nvidia")
    folders = [] if spec is None else [Path(folder) for folder in spec.submodule_search_locations or ()]
    return sorted(file for folder in folders for file in folder.glob(f"*/lib/libnvrtc.so.{major}"))


def compile_text(text: str, capability: tuple[int, int], *, fast_math: bool = False) -> bytes:
    """Machine code (a cubin) for GPUs of a compute capability, from the cache or compiled now."""
    source = with_headers(text, {**kernel_headers(), **standard_headers()})
    architecture = f"--gpu-architecture=sm_{capability[0]}{capability[1]}"
    options = ("--std=c++17", architecture, *(_FAST if fast_math else _EXACT))
    parts = (re.sub(r"//[^\n]*", "", source), *options, _version())
    name = f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.cubin"
    path = cache_directory() / name
    if not path.exists():
        keep(name, _compile(source, options))
    return path.read_bytes()


def _version() -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"


def _compile(source: str, options: tuple[str, ...]) -> bytes:
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"norse.cu", 0, None, None))
    try:
        flags = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        if nvrtc.nvrtcCompileProgram(program, len(options), flags):
            _check(nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size)))
            log = ctypes.create_string_buffer(size.value)
            _check(nvrtc.nvrtcGetProgramLog(program, log))
            raise BackendUnavailable(f"NVRTC {_version()} {' '.join(options)}:\n{log.value.decode()[:2000]}")
        _check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        made = ctypes.create_string_buffer(size.value)
        _check(nvrtc.nvrtcGetCUBIN(program, made))
        return made.raw
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _check(status: int) -> None:
    if status:
        library().nvrtcGetErrorString.restype = ctypes.c_char_p
        raise BackendUnavailable(f"NVRTC: {library().nvrtcGetErrorString(status).decode()}")
