"""The C++ that is printed for a tick: its essential lines, and that every name and number means what it should."""

import ctypes
import math
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import norse.torch as snn
from norse.backends.c_family.printer import identifier, literal
from norse.backends.cpu.build import load
from norse.backends.cpu.run import translation_unit
from norse.torch.functional.lif import lif_feed_forward_step, lif_step

from .graphs import built, eager_over_time, program_of, text, tick_of

X = torch.rand(4, 5)
LIF = (lif_feed_forward_step, X, snn.LIFFeedForwardState(X, X), snn.LIFParameters(), 0.001)


def between(source: str, first: str, last: str) -> str:
    """The lines after the one that ends with `first`, up to the one that is `last`."""
    lines = source.splitlines()
    start = next(k for k, line in enumerate(lines) if line.endswith(first)) + 1
    end = next(k for k, line in enumerate(lines[start:], start) if line.strip() == last)
    return text("\n".join(lines[start:end]))


def test_the_forward_of_lif_is_its_equations() -> None:
    program = program_of(tick_of(*LIF), wanted=("x",))
    forward = translation_unit(program.forward, None, "LIF")
    assert forward.startswith("// LIF: forward\n")
    assert 'extern "C" void norse_forward(const norse_call* call) {' in forward
    assert "    for (int64_t tick = call->tick_begin; tick < call->tick_end; ++tick) {" in forward
    assert between(forward, "for (int64_t neuron = 0; neuron < count; ++neuron) {", "}") == text("""
        const float i = i_row[neuron];
        const float x = x_row[neuron];
        const float v = v_row[neuron];
        const float add = i + x;
        const float mul = 0.001f * tau_mem_inv;
        const float sub = v_leak - v;
        const float add_1 = sub + add;
        const float mul_1 = mul * add_1;
        const float add_2 = v + mul_1;
        const float mul_2 = (-0.001f) * tau_syn_inv;
        const float mul_3 = mul_2 * add;
        const float add_3 = add + mul_3;
        const float sub_1 = add_2 - v_th;
        const bool gt = sub_1 > 0.0f;
        const float superspike = (gt ? 1.0f : 0.0f);
        const float sub_2 = 1.0f - superspike;
        const float mul_4 = sub_2 * add_2;
        const float mul_5 = superspike * v_reset;
        const float add_4 = mul_4 + mul_5;
        output_superspike_row[neuron] = superspike;
        output_add_2_row[neuron] = add_2;
        v_row[neuron] = add_4;
        i_row[neuron] = add_3;
    """)


def test_the_backward_of_lif_runs_in_reverse_and_holds_the_surrogate() -> None:
    program = program_of(tick_of(*LIF), wanted=("x",))
    source = translation_unit(program.forward, program.backward, "LIF")
    backward = source[source.index("// LIF: backward, ticks in reverse\n") :]
    assert "    for (int64_t tick = call->tick_end - 1; tick >= call->tick_begin; --tick) {" in backward
    body = between(backward, "for (int64_t neuron = 0; neuron < count; ++neuron) {", "}")
    surrogate = text("""
        const float abs_1 = norse_abs(sub_1);
        const float mul_10 = alpha * abs_1;
        const float add_7 = mul_10 + 1.0f;
        const float pow_1 = add_7 * add_7;
        const float truediv = add_6 / pow_1;
    """)
    assert surrogate in body
    assert "const float gt" not in body
    assert body.splitlines()[-2].startswith("adjoint_v_row[neuron] = ")
    assert body.splitlines()[-1].startswith("adjoint_i_row[neuron] = ")


def test_float64_is_double_throughout() -> None:
    p = snn.LIFParameters(*(q.double() if isinstance(q, Tensor) else q for q in snn.LIFParameters()))
    x = X.double()
    program = program_of(tick_of(lif_feed_forward_step, x, snn.LIFFeedForwardState(x, x), p, 0.001), wanted=("x",))
    source = translation_unit(program.forward, program.backward, "LIF")
    assert "float" not in source
    assert "const double mul = 0.001 * tau_mem_inv;" in source


def test_a_recurrent_synapse_stands_before_what_reads_it() -> None:
    weights = torch.rand(5, 5), torch.rand(5, 5)
    tick = tick_of(lif_step, X, snn.LIFState(X, X, X), *weights, snn.LIFParameters(), 0.001)
    program = program_of(tick, wanted=("x", "a3"))
    lines = translation_unit(program.forward, None, "LIF").splitlines()
    (loop,) = (k for k, line in enumerate(lines) if "neuron < count" in line)
    products = [line for line in lines[:loop] if "norse_products<float>(" in line]
    assert ["a2_transposed" in line or "a3_transposed" in line for line in products] == [True, True]
    assert program.backward is not None
    backward = translation_unit(program.backward, None, "").splitlines()
    loops = [k for k, line in enumerate(backward) if "neuron < count" in line]
    (product,) = (k for k, line in enumerate(backward) if "norse_products<float>(" in line and ", a3," in line)
    assert loops[0] < product < loops[1]


def test_nothing_in_the_text_depends_on_sizes() -> None:
    sources = set()
    for shape in ((4, 5), (1, 5), (4, 300)):
        x = torch.rand(shape)
        tick = tick_of(lif_feed_forward_step, x, snn.LIFFeedForwardState(x, x), snn.LIFParameters(), 0.001)
        program = program_of(tick, wanted=("x",))
        sources.add(translation_unit(program.forward, program.backward, "LIF"))
    assert len(sources) == 1


# ---- names and numbers -----------------------------------------------------------------------------------------------

# C++17 (ISO/IEC 14882:2017), table 5 and 6, and macros of the headers that are included.
KEYWORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit export extern false
float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private
protected public register reinterpret_cast return short signed sizeof static static_assert static_cast struct switch
template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t
while xor xor_eq NAN INFINITY NULL HUGE_VAL
""".split()  # noqa: SIM905


@pytest.mark.parametrize("name", [*KEYWORDS, "call", "count", "tick", "sample", "samples", "neuron", "events", "v_row"])
def test_a_name_that_means_something_in_c_is_written_otherwise(name: str) -> None:
    assert identifier(name) == f"{name}_"


def test_fields_named_like_words_of_c_compile() -> None:
    names = ("explicit", "private", "this", "NAN", "memset", "norse_row", "count", "y0", "signgam")

    def step(x: Tensor, s: dict[str, Tensor], p: None, dt: float) -> tuple[Tensor, dict[str, Tensor]]:
        return sum(s.values(), x), {name: s[name] * 0.5 + x for name in s}

    x, state = torch.rand(3, 2, 4), {name: torch.rand(2, 4) for name in names}
    region = built(program_of(tick_of(step, x[0], state, None, 0.1)))
    z, *after = region.forward([x, *state.values()], (3, 2, 4))
    expected, states = eager_over_time(step, x, state, None, 0.1)
    assert torch.equal(z, expected)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(after, states.values(), strict=True))


def read_back(written: str) -> float:
    """What a C compiler that rounds right makes of a literal, short of compiling it."""
    return float(written.strip("()").removesuffix("f"))


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_written_so_that_it_is_read_back(value: float) -> None:
    assert struct.pack("d", read_back(literal(value, torch.float64))) == struct.pack("d", value)
    written = literal(value, torch.float32)
    rounded = torch.tensor(value, dtype=torch.float64).float()
    if rounded.isfinite():
        assert written.rstrip(")").endswith("f")
        again = torch.tensor(read_back(written), dtype=torch.float64).float()
        assert torch.equal(again.view(torch.int32), rounded.view(torch.int32))


def test_the_compiler_reads_numbers_as_they_were_written() -> None:
    numbers = [0.1, -0.1, 1e-45, -1e-40, 3.4028235e38, 1e39, 16777217, -0.0, 2**70, math.inf, -math.inf, math.nan, True]
    writes = "\n".join(
        f"  f[{k}] = {literal(number, torch.float32)}; d[{k}] = {literal(number, torch.float64)};"
        for k, number in enumerate(numbers)
    )
    library = load(f'#include <cmath>\nextern "C" void write(float* f, double* d) {{\n{writes}\n}}\n')
    f, d = torch.zeros(len(numbers)), torch.zeros(len(numbers), dtype=torch.float64)
    library.write(ctypes.c_void_p(f.data_ptr()), ctypes.c_void_p(d.data_ptr()))
    expected = torch.tensor([float(number) for number in numbers], dtype=torch.float64)
    for ours, theirs in ((d, expected), (f, expected.float())):
        assert torch.equal(ours.nan_to_num(7.0), theirs.nan_to_num(7.0))
        assert torch.equal(ours.signbit()[:-2], theirs.signbit()[:-2])
