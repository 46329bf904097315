"""CUDA's own compilers accept the kernels, and a machine without a GPU says what it lacks."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from norse.backends.cpu import CpuBackend
from norse.backends.cuda import CudaBackend, nvrtc
from norse.backends.cuda.text import kernel_headers, translation_unit, with_headers
from norse.backends.operators import BuiltRegion, region_of, register_region
from norse.compiler.backend import BackendUnavailable

from .models import MODELS, assert_close_gradients, assert_same_bits, compiled, model_and_input, program_of, run

EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


def text_of(name: str, dtype: torch.dtype = torch.float32) -> str:
    program = program_of(name, dtype)
    return translation_unit(program.forward, program.backward, name)


def test_the_text_that_a_compiler_gets_has_every_header_once() -> None:
    text = with_headers(text_of("LIF"), kernel_headers())
    assert text.count("struct norse_call {") == text.count("struct norse_buffers {") == 1
    assert set(re.findall(r"#include (.*)", text)) == {"<cmath>", "<cstdint>"}


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not installed")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@EVERY_MODEL
def test_nvcc_translates_the_kernels_without_contracting_into_fma(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    source, made = tmp_path / "kernel.cu", tmp_path / "kernel.ptx"
    source.write_text(with_headers(text_of(name, dtype), kernel_headers()))
    command = ["nvcc", "--ptx", "--std=c++17", "--fmad=false", "-o", str(made), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    text = made.read_text()
    assert ".entry norse_forward" in text and ".entry norse_backward" in text
    assert not re.findall(r"\bfma\.", text)


@EVERY_MODEL
def test_nvrtc_compiles_the_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        nvrtc.library()
    except BackendUnavailable as why:
        pytest.skip(str(why))
    code = nvrtc.compile_text(text_of(name), (8, 0))
    assert code.startswith(b"\x7fELF") and b"norse_forward" in code and b"norse_backward" in code
    monkeypatch.setattr(nvrtc, "_compile", lambda *_: pytest.fail("it was in the cache"))
    assert nvrtc.compile_text(text_of(name), (8, 0)) == code


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_backend_says_so() -> None:
    with pytest.raises(BackendUnavailable, match=r"built without CUDA|sees no CUDA GPU"):
        CudaBackend().prepare(program_of("LIF"), "LIF")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_text_can_be_read_without_a_gpu() -> None:
    text = CudaBackend().source(program_of("LIF"), "a layer")
    assert text.startswith("// a layer: forward\n") and "__global__ void norse_backward" in text


def test_a_region_for_gpus_does_not_stand_in_for_one_on_the_cpu() -> None:
    program = program_of("LIF")
    CpuBackend().prepare(program, "LIF")
    row = [torch.tensor(1.0), torch.zeros(2, 3)]
    on_cpu = region_of(program.key, row)
    register_region(BuiltRegion(program, on_cpu.executables[0], None), "cuda")
    assert region_of(program.key, row) is on_cpu


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@EVERY_MODEL
def test_on_a_gpu_results_are_eagers_bits_and_gradients_are_eagers(name: str) -> None:
    model, x = model_and_input(name, torch.float64)
    model, x = model.cuda(), x.cuda()
    eager, ours = run(model, x), run(compiled(model, CudaBackend()), x)
    assert_same_bits(ours.results, eager.results)
    assert_close_gradients(ours.gradients, eager.gradients)
