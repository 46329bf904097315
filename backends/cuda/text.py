"""The text of a region's CUDA kernels, for people and, with every header in its place, for compilers."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from norse.backends.cuda.emit import emit_cuda
from norse.compiler.region import Kernel

_RUNTIME = Path(__file__).parent / "runtime"
_SHARED = Path(__file__).parent.parent / "c_family"
_INCLUDE = re.compile(r'^#include ["<]([^">]+)[">]$', re.MULTILINE)


def translation_unit(forward: Kernel, backward: Kernel | None, title: str) -> str:
    """Both kernels of a region, as CUDA C++."""
    text = emit_cuda(forward, "norse_forward", f"{title}: forward")
    if backward is not None:
        text += "\n" + emit_cuda(backward, "norse_backward", f"{title}: backward, ticks in reverse")
    return text


def with_headers(text: str, headers: Mapping[str, str]) -> str:
    """The text with each header that is known here in the place of its first `#include`."""
    seen: set[str] = set()

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in headers:
            return match[0]
        if name in seen:
            return ""
        seen.add(name)
        return _INCLUDE.sub(replace, headers[name].replace("#pragma once\n", ""))

    return _INCLUDE.sub(replace, text)


@cache
def kernel_headers() -> Mapping[str, str]:
    """What kernels include."""
    files = sorted([*_RUNTIME.glob("*.cuh"), *_SHARED.glob("*.h")])
    return {file.name: file.read_text() for file in files}


@cache
def standard_headers() -> Mapping[str, str]:
    """What kernels need of C's standard headers, for a compiler that has none."""
    return {file.stem: file.read_text() for file in sorted((_RUNTIME / "nvrtc").glob("*.h"))}


@cache
def shim() -> str:
    return (_RUNTIME / "shim.h").read_text()
