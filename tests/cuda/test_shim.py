"""CUDA kernels, their very text run on the CPU by the shim: eager's bits forward, its gradients backward."""

from typing import Any

import pytest
import torch
from torch import Tensor

from norse.backends.c_family.call import Buffer, Call
from norse.backends.cuda.emit import emit_cuda
from norse.backends.cuda.run import Executable
from norse.backends.cuda.shim import ShimModule
from norse.compiler.region import Kernel, Kind

from .models import (
    BATCH,
    MODELS,
    NEURONS,
    TICKS,
    assert_close_gradients,
    assert_same_bits,
    assert_spikes_and_silence,
    model_and_input,
    on_cpu,
    program_of,
    run,
    through_shim,
)

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


@DTYPES
@EVERY_MODEL
def test_results_are_eagers_bits_and_gradients_are_eagers(name: str, dtype: torch.dtype) -> None:
    model, x = model_and_input(name, dtype)
    eager = run(model, x)
    assert_spikes_and_silence(name, eager.results[0])
    ours = run(through_shim(model), x)
    assert_same_bits(ours.results, eager.results)
    assert_close_gradients(ours.gradients, eager.gradients)


@EVERY_MODEL
def test_a_given_state_is_continued_and_gets_its_gradient(name: str) -> None:
    model, x = model_and_input(name, torch.float64)
    with torch.no_grad():
        state = model(x[:10])[1]
    eager = run(model, x[10:], state)
    assert_spikes_and_silence(name, eager.results[0])
    ours = run(through_shim(model), x[10:], state)
    assert_same_bits(ours.results, eager.results)
    assert_close_gradients(ours.gradients, eager.gradients)


@DTYPES
@EVERY_MODEL
def test_the_cpu_backend_gives_the_same(name: str, dtype: torch.dtype) -> None:
    model, x = model_and_input(name, dtype)
    ours, cpu = run(through_shim(model), x), run(on_cpu(model), x)
    assert_spikes_and_silence(name, ours.results[0])
    assert_same_bits(ours.results, cpu.results)
    assert_close_gradients(ours.gradients, cpu.gradients)
    if not MODELS[name].connected:  # products with a matrix sum in another order
        assert_same_bits(list(ours.gradients.values()), list(cpu.gradients.values()))


@pytest.mark.parametrize("threads", [1, 7, 32])
@EVERY_MODEL
def test_the_number_of_threads_in_a_block_changes_no_bit(name: str, threads: int) -> None:
    model, x = model_and_input(name, torch.float32)
    four, others = run(through_shim(model), x), run(through_shim(model, threads), x)
    assert_spikes_and_silence(name, four.results[0])
    assert_same_bits(others.results, four.results)
    assert_same_bits(list(others.gradients.values()), list(four.gradients.values()))


@EVERY_MODEL
def test_the_order_of_threads_changes_no_bit(name: str) -> None:
    model, x = model_and_input(name, torch.float32)
    first, last = run(through_shim(model), x), run(through_shim(model, descending=True), x)
    assert_spikes_and_silence(name, first.results[0])
    assert_same_bits(last.results, first.results)
    assert_same_bits(list(last.gradients.values()), list(first.gradients.values()))


def test_inputs_may_lie_anywhere_in_memory() -> None:
    model, x = model_and_input("LIF", torch.float64)
    transposed = x.transpose(0, 2).contiguous().transpose(0, 2)
    expanded = x[:, :1].expand(TICKS, BATCH, NEURONS)
    for given in (transposed, expanded, x[:, :, :1].expand(TICKS, BATCH, NEURONS), x[::2]):
        eager, ours = run(model, given), run(through_shim(model), given)
        assert_spikes_and_silence("LIF", eager.results[0])
        assert_same_bits(ours.results, eager.results)
        assert_close_gradients(ours.gradients, eager.gradients)


# ---- single kernels --------------------------------------------------------------------------------------------------


def kernels(name: str) -> dict[str, Kernel]:
    program = program_of(name)
    assert program.backward is not None
    return {"forward": program.forward, "backward": program.backward}


def random_inputs(kernel: Kernel) -> dict[str, Tensor]:
    """What a kernel may be given: spikes where it expects them, else numbers around zero."""
    torch.manual_seed(2)
    shapes = {
        Kind.TICK: (TICKS, BATCH, NEURONS),
        Kind.ROW: (BATCH, NEURONS),
        Kind.SCALAR: (),
        Kind.MATRIX: (NEURONS, NEURONS),
    }
    given = {name: torch.randn(shapes[kernel.kinds[name]]).to(kernel.dtype(name)) for name in kernel.graph.inputs}
    for register in kernel.graph.registers:
        given[register.initial] = torch.randn(BATCH, NEURONS).to(kernel.dtype(register.value))
    return given


def built(kernel: Kernel, text: str | None = None, descending: bool = False) -> Executable:
    module = ShimModule(text or emit_cuda(kernel, "norse_test"), ("norse_test",), descending=descending)
    return Executable(kernel, module, "norse_test", threads=4)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@EVERY_MODEL
def test_pieces_of_time_equal_one_call(name: str, direction: str) -> None:
    kernel = kernels(name)[direction]
    executable, given, sizes = built(kernel), random_inputs(kernel), (TICKS, BATCH, NEURONS)
    whole, last = executable.run(given, sizes)
    if direction == "forward":
        assert_spikes_and_silence(name, whole[0])
    pieces = [torch.full_like(output, float("nan")) for output in whole]
    cuts = [(0, 1), (1, 17), (17, TICKS)]
    for piece in reversed(cuts) if kernel.reverse else cuts:
        _, final = executable.run(given, sizes, piece, pieces)
        given.update(zip((register.initial for register in kernel.graph.registers), final, strict=True))
    assert_same_bits([*pieces, *final], [*whole, *last])


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_without_its_barriers_a_recurrent_kernel_depends_on_the_order_of_threads(direction: str) -> None:
    """So the shim would show a barrier that is missing."""
    kernel = kernels("recurrent LIF")[direction]
    text = emit_cuda(kernel, "norse_test")
    assert "__syncthreads();" in text
    given, sizes = random_inputs(kernel), (TICKS, BATCH, NEURONS)
    for source, equal in ((text, True), (text.replace("__syncthreads();", ""), False)):
        ascending, _ = built(kernel, source).run(given, sizes)
        descending, _ = built(kernel, source, descending=True).run(given, sizes)
        same = all(torch.equal(one, other) for one, other in zip(ascending, descending, strict=True))
        assert same is equal


def test_a_barrier_that_some_threads_miss_is_an_error() -> None:
    text = '#include "kernel.cuh"\nextern "C" __global__ void odd(norse_call call, norse_buffers<1> buffers) {\n'
    module = ShimModule(text + "  if (threadIdx.x == 2) __syncthreads();\n}\n", ("odd",))
    with pytest.raises(RuntimeError, match="odd: some threads of a block ended while others waited at a barrier"):
        module.launch("odd", 1, 4, Call(), (Buffer * 1)(), torch.device("cpu"))


@pytest.mark.parametrize("sizes", [(TICKS, 0, NEURONS), (TICKS, BATCH, 0), (0, BATCH, NEURONS)])
def test_nothing_to_do(sizes: tuple[int, int, int]) -> None:
    kernel = kernels("LIF")["forward"]
    tick, row = torch.zeros(sizes), torch.ones(sizes[1:])
    given: dict[str, Any] = {name: tick if kind == Kind.TICK else row for name, kind in kernel.kinds.items()}
    given.update({n: torch.tensor(1.0) for n, kind in kernel.kinds.items() if kind == Kind.SCALAR})
    given.update({register.initial: row for register in kernel.graph.registers})
    outputs, final = built(kernel).run(given, sizes)
    assert [output.shape for output in outputs] == [sizes] * len(outputs)
    if sizes[0] == 0:
        assert_same_bits(final, [row] * len(final))


def test_tensors_on_another_device_are_refused_by_name() -> None:
    kernel = kernels("LIF")["forward"]
    given = random_inputs(kernel) | {"x": torch.zeros(TICKS, BATCH, NEURONS, device="meta")}
    with pytest.raises(RuntimeError, match=r"norse_test for cpu: .*%x is on meta"):
        built(kernel).run(given, (TICKS, BATCH, NEURONS))
