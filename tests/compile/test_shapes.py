"""States, inputs, T and batches of every shape, and that none of them makes a kernel built again."""

import copy
import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.backends.cpu import BUILDS
from norse.compiler.steps.loop import LoopStep

from .comparison import assert_compiles_to_the_same, assert_native, assert_same_results, observe, once
from .neurons import FEED_FORWARD, RECURRENT, currents, learnt, states

FIELD_SHAPES = [(), (5,), (1, 5), (3, 1), (3, 5)]
field_shapes = pytest.mark.parametrize("shape", FIELD_SHAPES, ids=["0-d", "[N]", "[1, N]", "[B, 1]", "[B, N]"])


@contextmanager
def no_builds() -> Iterator[None]:
    before = BUILDS.compiled, BUILDS.found
    yield
    assert (BUILDS.compiled, BUILDS.found) == before, "a kernel was built, or looked for, again"


class TestStates:
    @field_shapes
    @pytest.mark.parametrize("name", ["LIF", "LIBox", "IAF"])
    def test_of_a_layer_may_have_any_shape_that_broadcasts(self, name: str, shape: tuple[int, ...]) -> None:
        layer, _, _ = FEED_FORWARD[name]
        compiled = assert_compiles_to_the_same(layer(), currents(name, 20, 3, 5), states(layer.state_type, *shape))
        assert_native(compiled)

    @field_shapes
    def test_of_a_cell_may_have_any_shape_that_broadcasts(self, shape: tuple[int, ...]) -> None:
        cell = FEED_FORWARD["LIF"][1]
        assert_compiles_to_the_same(
            cell(), 12 * currents("", 3, 5) + 4, states(cell.state_type, *shape), without_gradient=()
        )

    @field_shapes
    @pytest.mark.parametrize("name", ["LIF", "IAF"])
    def test_of_a_recurrent_layer_may_have_any_shape_that_broadcasts(self, name: str, shape: tuple[int, ...]) -> None:
        layer, _, _ = RECURRENT[name]
        torch.manual_seed(0)
        model = layer(4, 5).double()
        state = states(layer.state_type, *shape)
        state = state._replace(z=torch.ones_like(state.z))
        assert_compiles_to_the_same(model, currents(name, 20, 3, 4), state, exact=True)

    def test_may_be_expanded(self) -> None:
        state = states(snn.LIF.state_type, 1, 1)
        expanded = type(state)(*(field.expand(3, 5) for field in state))
        assert_compiles_to_the_same(snn.LIF(), currents("LIF", 20, 3, 5), expanded)

    def test_may_have_fields_of_different_shapes(self) -> None:
        state = snn.LIF.state_type(v=torch.rand((), dtype=torch.float64), i=torch.rand(3, 5, dtype=torch.float64))
        assert_compiles_to_the_same(snn.LIF(), currents("LIF", 20, 3, 5), state)

    def test_given_and_not_given_take_turns(self) -> None:
        model, x = snn.LIF(), currents("LIF", 20, 3, 5)
        compiled = norse.compile(copy.deepcopy(model))
        for state in (None, states(model.state_type, 3, 5), None, states(model.state_type, 5)):
            assert_same_results(observe(compiled, x, state), observe(model, x, state))

    def test_carry_on_from_one_call_to_the_next(self) -> None:
        """Two halves with the state between them are the whole."""
        model, x = norse.compile(snn.LIF()), currents("LIF", 20, 3, 5)
        whole, last = model(x)
        first, state = model(x[:7])
        second, state = model(x[7:], state)
        assert torch.equal(torch.cat([first, second]), whole)
        assert all(torch.equal(a, b) for a, b in zip(state, last, strict=True))

    @pytest.mark.parametrize("record", [snn.LIF, lambda **o: snn.LIFRecurrent(5, 5, autapses=True, **o)])
    def test_of_all_ticks_may_be_recorded(self, record: type[nn.Module]) -> None:
        torch.manual_seed(0)
        assert_compiles_to_the_same(record(record_states=True).double(), currents("LIF", 20, 3, 5), exact=True)

    def test_are_a_list_in_a_chain(self) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Linear(4, 5), snn.LIF(), snn.LIFRecurrent(5, 6), snn.LI()).double()
        x = 3 * currents("LIF", 20, 3, 4)
        with torch.no_grad():
            _, given = model(x)
        assert_compiles_to_the_same(model, x, given, exact=True)

    def test_of_recorded_hidden_outputs_are_a_list_too(self) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Linear(4, 5), snn.LIF(), snn.LI(), return_hidden=True).double()
        assert_compiles_to_the_same(model, 3 * currents("LIF", 20, 3, 4), exact=True)


class TestInputs:
    @pytest.mark.parametrize("name", ["LIF", "LIBox"])
    @pytest.mark.parametrize("ticks", [0, 1, 2])
    def test_may_have_few_ticks_or_none(self, name: str, ticks: int) -> None:
        layer, _, _ = FEED_FORWARD[name]
        model, x = layer(), 3 * currents(name, ticks, 3, 5)
        for state in (None, states(layer.state_type, 3, 5), states(layer.state_type)):
            for exact in (False, True):
                ours = observe(norse.compile(copy.deepcopy(model), exact=exact), x, state, backward=False)
                assert_same_results(ours, observe(model, x, state, backward=False))

    @pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
    @pytest.mark.parametrize("ticks", [0, 1])
    def test_of_a_recurrent_network_may_have_one_tick_or_none(self, ticks: int, exact: bool) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(snn.LIFRecurrent(4, 5, record_states=True), snn.Lift(nn.Linear(5, 2)), snn.LI())
        x = currents("LIF", ticks, 3, 4, dtype=torch.float32)
        ours = observe(norse.compile(copy.deepcopy(model), exact=exact), x, backward=False)
        assert_same_results(ours, observe(model, x, backward=False))

    @pytest.mark.parametrize("shape", [(6, 0, 4), (0, 0, 4), (6, 3, 0)], ids=["B = 0", "T = B = 0", "N = 0"])
    def test_may_be_empty(self, shape: tuple[int, ...]) -> None:
        """And gradients are empty, or zero."""
        features = shape[-1]
        torch.manual_seed(0)
        for model in (snn.LIF(), snn.LIFRecurrent(features, 5, p=learnt(snn.LIFCell().p._replace, (), torch.float32))):
            x = torch.zeros(shape).requires_grad_()
            eager, ours = copy.deepcopy(model), norse.compile(model)
            theirs, mine = eager(x), ours(x)
            assert torch.equal(mine[0], theirs[0])
            assert [field.shape for field in mine[1]] == [field.shape for field in theirs[1]]
            (gradient,) = torch.autograd.grad(mine[0].sum() + mine[1].v.sum(), x, allow_unused=True)
            assert gradient is None or not gradient.any()

    @pytest.mark.parametrize(
        "view",
        [
            lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
            lambda x: x.permute(2, 0, 1).contiguous().permute(1, 2, 0),
            lambda x: x.repeat_interleave(2, -1)[..., ::2],
            lambda x: x.repeat_interleave(2, 0)[::2],
            lambda x: x.flip(0).flip(0),
            lambda x: x[:, :1].expand(x.shape),
            lambda x: x[:1].expand(x.shape),
            lambda x: x[..., :1].expand(x.shape),
        ],
        ids=["batch first", "neurons first", "every second neuron", "every second tick", "flipped",
             "one sample, expanded", "one tick, expanded", "one neuron, expanded"],
    )  # fmt: skip
    def test_may_lie_in_memory_in_any_way(self, view: type) -> None:
        assert_compiles_to_the_same(snn.LIF(), view(currents("LIF", 20, 3, 5)))
        torch.manual_seed(0)
        assert_compiles_to_the_same(snn.LIFRecurrent(5, 4).double(), view(currents("LIF", 20, 3, 5)), exact=True)

    @pytest.mark.parametrize("shape", [(20,), (20, 5), (20, 3, 5), (20, 2, 3, 5), (15, 2, 2, 3, 4)], ids=str)
    def test_may_have_any_rank(self, shape: tuple[int, ...]) -> None:
        assert_native(assert_compiles_to_the_same(snn.LIF(), currents("LIF", *shape)))

    @pytest.mark.parametrize("shape", [(20, 4), (20, 3, 4), (20, 2, 3, 4)], ids=str)
    def test_of_a_recurrent_layer_may_have_any_rank(self, shape: tuple[int, ...]) -> None:
        torch.manual_seed(0)
        assert_compiles_to_the_same(snn.LIFRecurrent(4, 5).double(), currents("LIF", *shape), exact=True)

    def test_may_be_larger_than_a_tile_and_on_all_threads(self) -> None:
        torch.set_num_threads(2)
        assert_compiles_to_the_same(snn.LIF(), currents("LIF", 12, 5, 2500, dtype=torch.float32))
        torch.manual_seed(0)
        model = snn.LIFRecurrent(20, 260)
        x = currents("LIF", 12, 70, 20, dtype=torch.float32)
        eager = observe(copy.deepcopy(model), x[:1], backward=False)
        ours = observe(norse.compile(model), x[:1], backward=False)
        assert (ours.results[1].v - eager.results[1].v).abs().max() < 1e-4
        torch.set_num_threads(1)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e-40, -0.0])
    def test_may_hold_odd_numbers(self, value: float) -> None:
        x = currents("LIF", 20, 3, 5, dtype=torch.float32)
        x[3, 1, 2] = value
        for name in ("LIF", "LIFBox", "LI", "IAF"):
            model = FEED_FORWARD[name][0]()
            ours, eager = observe(norse.compile(model), x, backward=False), observe(model, x, backward=False)
            assert_same_results(ours, eager)

    def test_of_half_precision_give_eagers_results(self) -> None:
        for dtype in (torch.float16, torch.bfloat16):
            x = currents("LIF", 20, 3, 5, dtype=torch.float32).to(dtype)
            assert_same_results(observe(norse.compile(snn.LIF()), x), observe(snn.LIF(), x))

    @pytest.mark.parametrize("make", [snn.LIF, lambda: snn.LIFRecurrent(5, 4), lambda: snn.Lift(nn.Linear(5, 4))])
    def test_may_be_sparse(self, make: Callable[[], nn.Module]) -> None:
        """COO, also with dense neurons. Neurons stay eager, which knows what becomes sparse; and it is said."""
        torch.manual_seed(0)
        eager = make()
        compiled, dense = norse.compile(copy.deepcopy(eager)), (torch.rand(20, 3, 5) < 0.3).float()
        for x in (dense.to_sparse(), dense[:7].to_sparse(2), dense[:1].to_sparse(), dense):
            theirs, mine = eager(x), compiled(x)
            z, other = (out[0] if isinstance(out, tuple) else out for out in (mine, theirs))
            assert z.layout == other.layout
            assert torch.equal(_dense(z), _dense(other))
            if x.is_sparse and isinstance(mine, tuple):
                assert "its input is sparse" in compiled.explain()

    def test_may_be_another_dtype_than_the_parameters(self) -> None:
        """0-d parameters of float32 leave a float64 input what it is; [N] parameters of float64 widen a float32 one."""
        for shape, mine, theirs in (((), torch.float32, torch.float64), ((5,), torch.float64, torch.float32)):
            layer = snn.LIF(p=learnt(snn.LIFCell().p._replace, shape, mine))
            x = currents("LIF", 20, 3, 5, dtype=theirs)
            assert_same_results(observe(norse.compile(copy.deepcopy(layer)), x), observe(layer, x))


def _dense(x: Tensor) -> Tensor:
    return x.to_dense() if x.is_sparse else x


class TestBuilds:
    def test_no_tick_count_and_no_batch_is_built_for(self) -> None:
        torch.manual_seed(0)
        model = norse.compile(snn.SequentialState(nn.Linear(4, 5), snn.LIF(), snn.LIFRecurrent(5, 6), snn.LI()))

        def train(ticks: int, batch: int) -> Tensor:
            z, _ = model(currents("LIF", ticks, batch, 4, dtype=torch.float32))
            if ticks:
                z.sum().backward()
            return z

        train(10, 4)
        with no_builds():
            for ticks, batch in ((11, 4), (10, 5), (1, 1), (100, 2), (0, 3), (3, 0), (7, 64)):
                assert train(ticks, batch).shape == (ticks, batch, 6)

    def test_not_every_batch_size_is_remembered(self) -> None:
        model = norse.compile(snn.LIF())
        for batch in range(1, 80):
            model(torch.zeros(1, batch, 2))
        loops = [x for x in gc.get_objects() if type(x) is LoopStep]
        assert 0 < max(len(loop._layouts) for loop in loops) <= 64

    def test_equal_neurons_of_other_sizes_share_a_kernel(self) -> None:
        def train(model: nn.Module, neurons: int) -> None:
            norse.compile(model)(currents("LIF", 5, 2, neurons).requires_grad_())[0].sum().backward()

        def chain(*sizes: int) -> nn.Module:
            layers = [[nn.Linear(inputs, outputs), snn.LIF()] for inputs, outputs in pairwise(sizes)]
            return snn.SequentialState(*itertools.chain(*layers)).double()

        train(chain(3, 5), 3)
        with no_builds():
            train(chain(30, 50), 30)
            train(chain(3, 4, 5, 6), 3)

    def test_calls_of_one_kind_trace_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from norse.compiler import module as compiled_module

        traces = []
        original = compiled_module.trace_model
        monkeypatch.setattr(compiled_module, "trace_model", lambda *a: traces.append(a) or original(*a))
        model = norse.compile(snn.LIF())
        for ticks in (5, 6, 7):
            once(model, currents("LIF", ticks, 2, 3), None)
        assert len(traces) == 1


class TestParameters:
    @pytest.mark.parametrize("shape", [(1,), (1, 1), (1, 1, 1)], ids=str)
    def test_may_be_one_number_of_any_rank(self, shape: tuple[int, ...]) -> None:
        """Of three dimensions: with an input that has as many at every tick."""
        model = snn.LIF(p=learnt(FEED_FORWARD["LIF"][2], shape))
        assert_native(assert_compiles_to_the_same(model, 4 * currents("LIF", 20, 2, 3, 5)))
