"""memory="low": time in pieces, each computed again in the backward. Results are eager's, and a backward keeps less.

Pieces are three ticks here (sixteen with `exact=True`, whose ticks must lie in memory as in the sequence).
"""

import copy
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

import norse
import norse.torch as snn
from norse.compiler import staged
from norse.compiler.ir import Type
from norse.compiler.memory import Memory, free_bytes, length_of_a_piece
from norse.compiler.module import CompiledModule
from norse.compiler.starts import reads_values

from .comparison import assert_compiles_to_the_same, assert_same_gradients, assert_same_results, observe
from .neurons import (
    FEED_FORWARD,
    RECURRENT,
    USER_STEPS,
    Bell,
    UserParameters,
    currents,
    learnt,
    states,
    zeros_over_time,
)
from .random_comparison import SparingBackend, Tally, check
from .random_networks import draw

NO_GRADIENT = {"LIFBox, reset by subtraction": ("neuron.v_reset",)}  # a reset by subtraction does not read it


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged, "length_of_a_piece", lambda ticks, a_tick, states, exact: 16 if exact else 3)


def pieces_of(compiled: CompiledModule) -> list[tuple[int, int]]:
    """For each group of steps the ticks of the last call, and of a piece."""
    found = compiled.variant.staged
    assert found is not None
    return [(kind.ticks, kind.length) for kind in found.last]


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Linear(4, 6), snn.LIF(), snn.LIFRecurrent(6, 5), nn.Linear(5, 3), snn.LI())
    return snn.SequentialState(*layers).double()


def spikes(*shape: int) -> Tensor:
    return 15 * torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class TestResultsAreEagers:
    @pytest.mark.parametrize("name", FEED_FORWARD)
    def test_of_every_neuron_with_learnt_parameters(self, name: str) -> None:
        layer, _, make = FEED_FORWARD[name]
        without = NO_GRADIENT.get(name, ())
        state = states(layer.state_type, 3, 5)
        for given in (None, state):
            model, x = layer(p=learnt(make, (5,))), currents(name, 10, 3, 5)
            compiled = assert_compiles_to_the_same(model, x, given, without_gradient=without, memory="low")
            assert pieces_of(compiled) == [(10, 3)]

    @pytest.mark.parametrize("name", RECURRENT)
    def test_of_every_recurrent_neuron(self, name: str) -> None:
        layer, _, make = RECURRENT[name]
        torch.manual_seed(0)
        model = layer(4, 5, p=learnt(make, ())).double()
        x = currents(name, 20, 3, 4)
        compiled = assert_compiles_to_the_same(
            model, x, without_gradient=NO_GRADIENT.get(name, ()), memory="low", exact=True
        )
        assert pieces_of(compiled) == [(20, 16)]

    @pytest.mark.parametrize("name", USER_STEPS)
    def test_of_a_step_of_the_users(self, name: str) -> None:
        model = snn.SNN(USER_STEPS[name], zeros_over_time, p=UserParameters(nn.Parameter(torch.tensor(0.8).double())))
        compiled = assert_compiles_to_the_same(model, currents("user", 10, 3, 5), memory="low")
        assert pieces_of(compiled) == [(10, 3)]

    @pytest.mark.parametrize(
        "start",
        [
            lambda x: torch.zeros_like(x[0]),
            lambda x: x.new_full(x.shape[1:], 0.3),
            lambda x: 0.1 * x[0].detach(),
            lambda x: 0.1 * x.mean(0).detach(),
        ],
        ids=["zeros_like", "new_full", "of the first tick", "of all ticks"],
    )
    def test_of_a_start_of_the_users(self, start: Any) -> None:
        """Behind a layer: one that reads its input's values needs all ticks of the layer, ahead of the pieces."""

        def step(x: Tensor, v: Tensor, p: Any, dt: float) -> tuple[Tensor, Tensor]:
            v = 0.8 * v + 0.1 * x
            z = Bell.apply(v - 0.5)
            return z, v - 0.5 * z

        torch.manual_seed(0)
        model = snn.SequentialState(nn.Linear(4, 5), snn.SNN(step, start, p=None)).double()
        assert pieces_of(assert_compiles_to_the_same(model, spikes(10, 3, 4), memory="low")) == [(10, 3)]

    @pytest.mark.parametrize("exact", [True, False])
    def test_of_a_network_and_all_its_states(self, exact: bool) -> None:
        compiled = assert_compiles_to_the_same(network(), spikes(40, 3, 4), memory="low", exact=exact)
        assert pieces_of(compiled) == [(40, 16 if exact else 3)]

    def test_of_states_at_every_tick(self) -> None:
        model = snn.SequentialState(nn.Linear(4, 5), snn.LIF(record_states=True)).double()
        assert pieces_of(assert_compiles_to_the_same(model, spikes(11, 2, 4), memory="low")) == [(11, 3)]

    def test_of_convolutions(self) -> None:
        torch.manual_seed(0)
        layers = (snn.Lift(nn.Conv2d(2, 3, 3)), snn.LIF(), nn.Flatten(2), nn.Linear(48, 3), snn.LI())
        model = snn.SequentialState(*layers).double()
        assert pieces_of(assert_compiles_to_the_same(model, spikes(10, 2, 2, 6, 6), memory="low")) == [(10, 3)]

    def test_of_a_delay_whose_ticks_need_others(self) -> None:
        """It runs once for all ticks, between the pieces before and behind it."""
        delay = snn.SynapseDelay(torch.tensor([0.001, 0.0025, 0.004]).double(), max_delay=0.005, learn_delay=True)
        model = snn.SequentialState(nn.Linear(4, 3), snn.LIF(), delay, nn.Linear(3, 2), snn.LI()).double()
        compiled = assert_compiles_to_the_same(model, 2 * spikes(20, 2, 4), memory="low")
        assert pieces_of(compiled) == [(20, 3), (20, 3)]

    @pytest.mark.parametrize("exact", [True, False])
    def test_of_a_users_loop_with_feedback(self, exact: bool) -> None:
        class Loop(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fc, self.back, self.lif = nn.Linear(4, 6), nn.Linear(6, 6), snn.LIFCell()

            def forward(self, x: Tensor) -> Any:
                state, z, outputs = None, x.new_zeros(x.shape[1], 6), []
                for t in range(x.shape[0]):
                    z, state = self.lif(self.fc(x[t]) + self.back(z), state)
                    outputs.append(z)
                z = torch.stack(outputs)
                return z, z.mean(0), state

        torch.manual_seed(0)
        compiled = assert_compiles_to_the_same(Loop().double(), spikes(40, 3, 4), memory="low", exact=exact)
        assert pieces_of(compiled) == [(40, 16 if exact else 3)]

    @pytest.mark.parametrize("ticks", [0, 1, 2, 3, 4])
    def test_of_few_ticks(self, ticks: int) -> None:
        compiled, eager = norse.compile(network(), memory="low"), network()
        x = spikes(ticks, 2, 4)
        theirs = observe(eager, x, backward=ticks > 0)
        ours = observe(compiled, x, backward=ticks > 0)
        assert_same_results(ours, theirs)
        for name, gradient in theirs.gradients.items():
            mine = ours.gradients[name]
            assert gradient is None or (mine is not None and torch.allclose(mine, gradient, rtol=1e-10, atol=1e-12))

    def test_of_no_samples(self) -> None:
        compiled = norse.compile(network(), memory="low")
        z, _ = compiled(spikes(7, 0, 4))
        z.sum().backward()
        assert z.shape == (7, 0, 3)
        assert all(p.grad is not None and not p.grad.any() for p in compiled.model[0].parameters())

    @pytest.mark.parametrize("wiring", ["over time", "lifted", "loop", "recurrent sequential"])
    def test_of_networks_that_nobody_thought_of(self, wiring: str) -> None:
        backend, tally, choose, cut = SparingBackend(0), Tally(), random.Random(5), 0
        for _ in range(5):
            network = replace(draw(choose, wiring), ticks=20, gradients="all")  # two pieces at least, and a backward
            compiled = check(network, backend, tally, memory="low")
            found = None if compiled is None else compiled.variant.staged
            cut += found is not None and any(kind.length < kind.ticks for kind in found.last)
        assert cut >= 2, "too few networks ran in pieces"


class TestABackward:
    def test_keeps_less(self) -> None:
        kept = {}
        for memory in ("fast", "low"):
            model = norse.compile(network(), memory=memory)
            model(spikes(60, 8, 4))  # kernels are built, shapes known
            saved: dict[int, int] = {}

            def keep(x: Tensor, saved: dict[int, int] = saved) -> Tensor:
                saved[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
                return x

            x = spikes(60, 8, 4)
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
                result = model(x)
            kept[memory] = sum(saved.values()) - saved.get(x.untyped_storage().data_ptr(), 0)
            del result
        of_states = 20 * 8 * (2 * 6 + 3 * 5 + 2 * 3) * 8  # at the starts of 20 pieces
        parameters = 8 * sum(p.numel() for p in network().parameters())
        assert kept["low"] <= of_states + parameters + 1024
        assert kept["fast"] > 60 * 8 * (6 + 5) * 8  # the potentials alone

    def test_can_be_repeated_and_gives_the_same(self) -> None:
        model = norse.compile(network(), memory="low")
        z, state = model(spikes(20, 2, 4))
        loss = z.square().sum() + state[1].v.sum()
        found = [torch.autograd.grad(loss, list(model.parameters()), retain_graph=True) for _ in range(2)]
        again, state = model(spikes(20, 2, 4))
        found.append(torch.autograd.grad(again.square().sum() + state[1].v.sum(), list(model.parameters())))
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*found, strict=True))

    def test_of_a_final_state_alone(self) -> None:
        found = []
        for model in (norse.compile(network(), memory="low"), network()):
            _, state = model(spikes(10, 2, 4))
            state[1].v.sum().backward()
            found.append([p.grad for p in model.parameters()])
        assert any(g is not None and g.any() for g in found[1])
        for mine, theirs in zip(*found, strict=True):
            assert (mine is None) == (theirs is None) or not (theirs if mine is None else mine).any()
            assert mine is None or theirs is None or torch.allclose(mine, theirs, rtol=1e-10)

    def test_inside_of_torchs_checkpoint(self) -> None:
        compiled, eager, x = norse.compile(network(), memory="low"), network(), spikes(10, 2, 4)
        checkpoint(compiled, x, use_reentrant=False)[0].sum().backward()
        eager(x)[0].sum().backward()
        for mine, theirs in zip(compiled.parameters(), eager.parameters(), strict=True):
            assert torch.allclose(mine.grad, theirs.grad, rtol=1e-10)

    def test_knows_the_parameters_that_the_forward_had(self) -> None:
        torch.manual_seed(0)
        eager, x = snn.SequentialState(nn.Linear(4, 5), snn.LIF(), nn.Linear(5, 3)).double(), spikes(10, 2, 4)
        compiled = norse.compile(copy.deepcopy(eager), memory="low")
        others = {name: (p.detach() * 1.1).requires_grad_() for name, p in eager.named_parameters()}
        results = [torch.func.functional_call(model, others, (x,))[0] for model in (compiled, eager)]
        assert pieces_of(compiled) == [(10, 3)]
        found = [torch.autograd.grad(z.sum(), list(others.values())) for z in results]
        for mine, theirs in zip(*found, strict=True):
            assert (mine - theirs).abs().max() <= 1e-10 * theirs.abs().max()

    def test_refuses_parameters_that_have_changed_since(self) -> None:
        compiled = norse.compile(network(), memory="low")
        z, _ = compiled(spikes(10, 2, 4))
        with torch.no_grad():
            compiled.model[0].weight.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()

    def test_is_not_differentiated_twice(self) -> None:
        compiled = norse.compile(network(), memory="low")
        z, _ = compiled(spikes(10, 2, 4))
        with pytest.raises(RuntimeError, match='memory="fast"'):
            torch.autograd.grad(z.sum(), compiled.model[0].weight, create_graph=True)

    def test_asks_for_gradients_where_eager_does(self) -> None:
        compiled, eager = norse.compile(network(), memory="low"), network()
        for model in (compiled, eager):
            for p in getattr(model, "model", model)[0].parameters():
                p.requires_grad_(False)
        results = [pytree.tree_leaves(model(spikes(10, 2, 4))) for model in (compiled, eager)]
        ours, theirs = ([leaf.requires_grad for leaf in leaves if leaf is not None] for leaves in results)
        assert pieces_of(compiled) == [(10, 3)]
        assert ours == theirs


class TestWhatStaysWhole:
    def explained(self, model: nn.Module, x: Tensor, **options: Any) -> str:
        compiled = norse.compile(model, memory="low", **options)
        compiled(x)
        return compiled.explain().splitlines()[-1]

    def test_layers_that_draw_or_count(self) -> None:
        layers = (nn.Linear(4, 5), snn.LIF(), nn.Dropout(0.5), nn.Linear(5, 3), snn.LI())
        eager = snn.SequentialState(*layers).double()
        compiled, x = norse.compile(copy.deepcopy(eager), memory="low"), spikes(10, 2, 4)
        torch.manual_seed(3)
        theirs = observe(eager, x)
        torch.manual_seed(3)
        ours = observe(compiled, x)
        assert_same_results(ours, theirs)
        assert_same_gradients(ours, theirs)
        assert pieces_of(compiled) == [(10, 3), (10, 3)]
        assert 'whole: "2"' in compiled.explain()

    def test_a_tick_and_says_so(self) -> None:
        assert "has time" in self.explained(snn.SequentialState(nn.Linear(4, 5), snn.LIFCell()).double(), spikes(2, 4))

    def test_what_draws_random_numbers_says_so(self) -> None:
        model = snn.SNN(lambda x, v, p, dt: (v + x * torch.rand_like(x),) * 2, lambda x: torch.zeros_like(x[0]), p=None)
        text = self.explained(model, spikes(10, 2, 4).requires_grad_(), fullgraph=True)
        assert "could not be had" in text and "draw" in text

    def test_calls_without_gradients(self) -> None:
        compiled = norse.compile(network(), memory="low")
        with torch.no_grad():
            compiled(spikes(10, 2, 4))
        assert pieces_of(compiled) == []
        with torch.inference_mode():
            compiled(spikes(10, 2, 4))
        assert pieces_of(compiled) == []

    def test_small_calls_unless_asked_for(self) -> None:
        compiled = norse.compile(network())
        compiled(spikes(10, 2, 4))
        assert pieces_of(compiled) == []
        assert "memory" not in compiled.explain()


class TestAuto:
    def test_runs_in_pieces_what_half_of_the_free_memory_does_not_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("norse.compiler.memory.WORTH_A_LOOK", 0)
        monkeypatch.setattr("norse.compiler.staged.WORTH_A_LOOK", 0)
        for free, expected in ((10**9, (10, 10)), (1000, (10, 3))):
            monkeypatch.setattr("norse.compiler.memory.free_bytes", lambda device, free=free: free)
            compiled = norse.compile(network())
            compiled(spikes(10, 2, 4))
            assert pieces_of(compiled) == [expected]

    def test_is_as_asked_for_otherwise(self) -> None:
        assert Memory("low").is_low(0, torch.device("cpu")) and not Memory("fast").is_low(1 << 60, torch.device("cpu"))

    def test_knows_the_free_memory(self) -> None:
        free = free_bytes(torch.device("cpu"))
        assert free is not None and 1 << 20 < free < 1 << 50

    def test_another_mode_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="argument memory: expects 'auto', 'low' or 'fast', got 'small'"):
            norse.compile(network(), memory="small")  # type: ignore[arg-type]


def test_a_start_reads_its_input_or_does_not() -> None:
    x = Type(torch.float64, ("T", "B", 3))
    starts = {
        lambda x: torch.zeros_like(x[0]): False,
        lambda x: torch.full(x.shape[1:], 0.5, dtype=x.dtype): False,
        lambda x: x[0] * 0: True,
        lambda x: x.detach().mean(0): True,
        lambda x: torch.zeros(x.shape[1:]) + float(x.sum()): True,
        lambda x: torch.rand(x.shape[1:]): True,
        lambda x: torch.rand_like(x[0]): True,
    }
    found = [reads_values(snn.SNN(lambda x, v, p, dt: (v + x, v + x), start, p=None), x, False) for start in starts]
    assert found == list(starts.values())
    assert not reads_values(snn.LIF(), x, False)


def test_the_length_of_a_piece_balances_states_and_ticks() -> None:
    megabyte = 1 << 20
    assert length_of_a_piece(10, 100 * megabyte, 100 * megabyte) == 3  # √10
    assert length_of_a_piece(5000, 32 * 1024, 64 * 1024) == 128  # 4 MiB
    assert length_of_a_piece(5000, 32 * 1024, 64 * 1024, exact=True) % 16 == 0
    assert length_of_a_piece(10, 100, 100) >= 10  # small enough as it is
    assert length_of_a_piece(0, 100, 100) == length_of_a_piece(0, 0, 0) == 0
