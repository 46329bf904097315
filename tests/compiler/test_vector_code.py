"""The loops over neurons are compiled to vector instructions: read off the assembly text."""

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import norse.torch as snn
from norse.backends.cpu import build
from norse.backends.cpu.run import translation_unit
from norse.compiler.region import lower_region

from .graphs import kinds_of, tick_of

# Arithmetic on all numbers of a register, by processor and dtype.
PACKED = {
    "x86_64": {torch.float32: r"\bv?(add|sub|mul)ps\b", torch.float64: r"\bv?(add|sub|mul)pd\b"},
    "arm64": {torch.float32: r"\bf(add|sub|mul)\s+v\d+\.4s", torch.float64: r"\bf(add|sub|mul)\s+v\d+\.2d"},
}
MACHINE = {"amd64": "x86_64", "aarch64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
COMPILERS = {"g++": ("g++",), "clang++": ("clang++",), "zig": (sys.executable, "-m", "ziglang", "c++")}

pytestmark = pytest.mark.skipif(MACHINE not in PACKED, reason=f"nobody has said what vectors look like on {MACHINE}")


def assembly(compiler: str, text: str, folder: Path, *flags: str) -> dict[str, str]:
    """The instructions of every function."""
    command = COMPILERS[compiler]
    if not (importlib.util.find_spec("ziglang") if compiler == "zig" else shutil.which(command[0])):
        pytest.skip(f"no {compiler} on this machine")
    native = "-mcpu=native" if compiler == "zig" else build._native_flag()
    source = folder / "kernel.cpp"
    source.write_text(text)
    kept = [flag for flag in build._FLAGS if flag != "-shared"]
    include = (f"-I{build._RUNTIME}", f"-I{build._SHARED}")
    ran = subprocess.run(
        [*command, *kept, native, *include, *flags, "-S", "-o", str(folder / "kernel.s"), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    parts = re.split(r"^_?(norse_\w+):", (folder / "kernel.s").read_text(errors="replace"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def kernels(step: Callable[..., Any], state: Any, p: Any, *, fast_math: bool = False) -> str:
    """The text of a step's kernels, backward with the gradients of its input."""
    x = torch.zeros(2, 8, dtype=state[0].dtype)
    tick = tick_of(step, x, state, p, 0.001)
    program = lower_region(tick, kinds_of(tick), ("x",), fast_math)
    assert program.backward is not None
    return translation_unit(program.forward, program.backward, "a step")


def lif(dtype: torch.dtype) -> str:
    zeros = torch.zeros(2, 8, dtype=dtype)
    p = snn.LIFParameters(*(x.to(dtype) if isinstance(x, torch.Tensor) else x for x in snn.LIFParameters()))
    return kernels(snn.lif_feed_forward_step, snn.LIFFeedForwardState(zeros, zeros), p)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_neurons_are_computed_in_vectors(compiler: str, dtype: torch.dtype, tmp_path: Path) -> None:
    packed = PACKED[MACHINE][dtype]
    functions = assembly(compiler, lif(dtype), tmp_path, *build._EXACT)
    for name in ("norse_forward", "norse_backward"):
        assert len(re.findall(packed, functions[name])) >= 5, name


def test_what_is_looked_for_is_not_there_without_vectors(tmp_path: Path) -> None:
    functions = assembly("g++", lif(torch.float32), tmp_path, *build._EXACT, "-fno-tree-vectorize")
    assert not re.findall(PACKED[MACHINE][torch.float32], functions["norse_forward"])


@pytest.mark.parametrize("compiler", COMPILERS)
def test_exponentials_are_vectors_with_fast_math_alone(compiler: str, tmp_path: Path) -> None:
    zeros, packed = torch.zeros(2, 8), PACKED[MACHINE][torch.float32]
    text = kernels(snn.lif_ex_feed_forward_step, snn.LIFExFeedForwardState(zeros, zeros), snn.LIFExParameters())
    forward = {
        name: assembly(compiler, text, tmp_path, *flags)["norse_forward"]
        for name, flags in (("exact", build._EXACT), ("fast", build._FAST))
    }
    assert re.search(r"\bexpf\b", forward["exact"])
    assert not re.search(r"\bexpf\b", forward["fast"])
    assert len(re.findall(packed, forward["fast"])) >= 10
