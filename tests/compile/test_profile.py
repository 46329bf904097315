"""A profile's numbers are those that one gets by hand, and profiling leaves a model as it was."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.compiler.errors import CompileError
from norse.compiler.module import CompiledModule
from norse.compiler.pieces import in_ranges
from norse.compiler.profile import Profile, Row

T, B = 6, 2


def rows(profile: Profile, direction: str = "forward") -> dict[tuple[str, str], Row]:
    return {(row.layer, row.operation): row for row in profile.rows if row.direction == direction}


def firing(x: Tensor, state: Any, w_in: Tensor, w_rec: Tensor, p: Any, dt: float) -> tuple[Tensor, Any]:
    """A neuron fires when its input is positive; what others send is far too weak to matter."""
    z = (nn.functional.linear(x, w_in) + nn.functional.linear(state, w_rec) > 0).to(x.dtype)
    return z, z


def firing_layer(recurrent: Tensor) -> snn.SNNRecurrent:
    size = len(recurrent)
    return snn.SNNRecurrent(
        firing, lambda x: torch.zeros_like(x[0]), size, size, None,
        input_weights=torch.eye(size), recurrent_weights=recurrent,
    )  # fmt: skip


class Unclear(nn.Module):
    """Can't be followed, so it runs eagerly."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        x += 1.0  # in place
        return x


@pytest.fixture
def _without_gradients() -> Iterator[None]:
    """Which spares the backward's kernels."""
    with torch.no_grad():
        yield


@pytest.mark.usefixtures("_without_gradients")
class TestSynapticOperations:
    """An event makes one operation at each synapse that it reaches."""

    def test_of_a_linear_layer_are_events_times_fan_out(self) -> None:
        x = torch.zeros(T, B, 3)
        x[0, 0, 0] = x[3, 1, 0] = x[5, 0, 2] = 1.0  # two events at input 0, one at input 2
        model = nn.Sequential(nn.Linear(3, 4))
        row = rows(norse.compile(model).profile(x))["0", "Linear"]
        assert row.synops == 3 * 4
        assert row.density == pytest.approx(3 / (T * B * 3))

    def test_pruned_synapses_do_nothing(self) -> None:
        x = torch.zeros(T, B, 3)
        x[0, 0, 0] = x[3, 1, 0] = x[5, 0, 2] = 1.0
        model = nn.Sequential(nn.Linear(3, 4))
        model[0].weight[1:, 0] = 0.0  # input 0 keeps one synapse
        assert rows(norse.compile(model).profile(x))["0", "Linear"].synops == 2 * 1 + 1 * 4

    @pytest.mark.parametrize(
        ("place", "options", "taps"),
        [
            ((0, 0), {"padding": 1}, 4),  # a corner
            ((0, 2), {"padding": 1}, 6),  # a border
            ((2, 2), {"padding": 1}, 9),
            ((2, 2), {"padding": 1, "stride": 2}, 1),  # outputs at 0 and 2, of which 2 alone is near
            ((1, 1), {"padding": 1, "stride": 2}, 4),
            ((0, 0), {}, 1),
        ],
    )
    def test_of_a_convolution_reach_the_outputs_that_exist(
        self, place: tuple[int, int], options: dict[str, int], taps: int
    ) -> None:
        x = torch.zeros(B, 1, 4, 4)
        x[(1, 0, *place)] = 1.0
        model = nn.Sequential(nn.Conv2d(1, 5, 3, **options))
        assert rows(norse.compile(model).profile(x))["0", "Conv2d"].synops == 5 * taps

    def test_of_recurrent_weights_are_spikes_of_the_ticks_before_times_fan_out(self) -> None:
        x = -torch.ones(T, B, 3)
        x[0, 0, 0] = x[1, 0, 1] = x[2, 1, 1] = 1.0
        x[T - 1] = 1.0  # these spikes are sent when the call is over
        recurrent = torch.full((3, 3), 1e-6)  # from neuron k to n: [n, k]; without autapses its diagonal is zero
        recurrent[2, 1] = 0.0  # neuron 1 reaches neuron 0 alone
        compiled = norse.compile(snn.SequentialState(firing_layer(recurrent)))
        found = rows(compiled.profile(x))
        assert "native" in compiled.explain()
        loop, synapse = found["0", "SNNRecurrent loop"], found["0", "SNNRecurrent synapse"]
        assert loop.synops == 2 + 1 + 1
        assert loop.density == pytest.approx(3 / (T * B * 3))
        assert synapse.synops == T * B * 3  # the unit matrix, and -1 is an event too
        assert loop.runs == "cpu" and synapse.runs == "torch"

    @pytest.mark.parametrize("options", [{}, {"exact": True}, {"backend": "torch"}])
    def test_are_the_same_however_a_layer_runs(self, options: dict[str, Any]) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Linear(3, 8), snn.LIF(), snn.LIFRecurrent(8, 4))
        x = 20 * torch.rand(50, B, 3)
        spikes = model[1](model[0](x))[0]
        profile = norse.compile(model, **options).profile(x)
        sent = model(x)[0][:-1]
        assert spikes.sum() > 0 and sent.sum() > 0
        assert profile.synops == 50 * B * 3 * 8 + int(spikes.sum()) * 4 + int(sent.sum()) * 3

    def test_of_modules_that_run_eagerly_count_too(self) -> None:
        x = torch.ones(T, B, 3)
        model = snn.SequentialState(Unclear(), snn.LIF())
        row = rows(norse.compile(model).profile(x))["0", "Unclear"]
        assert (row.runs, row.synops) == ("eager", T * B * 3 * 4)

    def test_of_a_users_own_product_with_a_weight_count_too(self) -> None:
        class Product(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.ones(3, 5))

            def forward(self, x: Tensor) -> Tensor:
                return x @ self.weight

        assert norse.compile(Product()).profile(torch.ones(T, B, 3)).synops == T * B * 3 * 5


@pytest.mark.usefixtures("_without_gradients")
class TestWhatIsComputed:
    def test_flops_of_a_linear_layer_are_two_for_each_weight(self) -> None:
        model = nn.Sequential(nn.Linear(3, 4))
        assert rows(norse.compile(model).profile(torch.ones(T, B, 3)))["0", "Linear"].flops == 2 * T * B * 3 * 4

    def test_flops_of_a_loop_are_its_equations(self) -> None:
        """LI: i + x; v + dt/τ ((v_leak - v) + i); i - dt/τ i. That is 1 + 4 + 2."""
        row = rows(norse.compile(snn.SequentialState(snn.LI())).profile(torch.ones(T, B, 3)))["0", "LI loop"]
        assert row.flops == 7 * T * B * 3

    def test_flops_of_recurrent_weights_are_those_of_a_dense_product(self) -> None:
        found = rows(norse.compile(snn.SequentialState(firing_layer(torch.ones(3, 3)))).profile(torch.ones(T, B, 3)))
        # a product with 3 x 3 weights, a sum and a comparison
        assert found["0", "SNNRecurrent loop"].flops == T * B * 3 * (2 * 3 + 1 + 1)

    def test_bytes_are_those_of_what_is_read_and_written(self) -> None:
        found = rows(norse.compile(snn.SequentialState(nn.Linear(3, 4), snn.LI())).profile(torch.ones(T, B, 3)))
        assert found["0", "Linear"].bytes == 4 * (T * B * 3 + 3 * 4 + 4 + T * B * 4)
        states, parameters = 2 * 2 * B * 4, 3  # two fields before and after; dt/τ of both, v_leak
        assert found["1", "LI loop"].bytes == 4 * (2 * T * B * 4 + states + parameters)

    def test_an_expanded_input_counts_as_what_is_in_memory(self) -> None:
        x = torch.ones(1, 1, 3).expand(T, B, 3)
        row = rows(norse.compile(nn.Sequential(nn.Linear(3, 4))).profile(x))["0", "Linear"]
        assert row.bytes == 4 * (3 + 3 * 4 + 4 + T * B * 4)

    def test_density_of_layers_without_synapses_is_that_of_the_spikes_that_go_in(self) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Linear(3, 4), snn.LIF(), nn.ReLU())
        x = 20 * torch.rand(50, B, 3)
        spikes = model[1](model[0](x))[0]
        assert 0 < spikes.mean() < 1
        assert rows(norse.compile(model).profile(x))["2", "ReLU"].density == pytest.approx(spikes.mean().item())


class TestBackward:
    def model(self) -> snn.SequentialState:
        torch.manual_seed(0)
        return snn.SequentialState(nn.Linear(3, 4), snn.LIF(), nn.Linear(4, 2), snn.LI())

    def test_has_a_row_for_each_layer_in_reverse(self) -> None:
        profile = norse.compile(self.model()).profile(torch.ones(T, B, 3), backward=True)
        layers = [row.layer for row in profile.rows if row.direction == "backward" and row.layer]
        assert layers == ["3", "2", "1", "0"]
        assert all(row.seconds > 0 for row in profile.rows)

    def test_flops_of_a_linear_layer_are_those_of_two_products(self) -> None:
        """Of the gradients of its weight and of its input; the first layer's input wants none."""
        found = rows(norse.compile(self.model()).profile(torch.ones(T, B, 3), backward=True), "backward")
        assert found["2", "Linear"].flops == 2 * 2 * T * B * 4 * 2
        assert found["0", "Linear"].flops == 2 * T * B * 3 * 4

    def test_is_not_there_if_it_is_not_asked_for(self) -> None:
        assert not rows(norse.compile(self.model()).profile(torch.ones(T, B, 3)), "backward")

    def test_is_refused_where_nothing_requires_a_gradient(self) -> None:
        model = norse.compile(self.model())
        with torch.no_grad(), pytest.raises(ValueError, match="argument backward: nothing in this call requires"):
            model.profile(torch.ones(T, B, 3), backward=True)

    @pytest.mark.parametrize("options", [{}, {"exact": True}, {"backend": "torch"}])
    def test_goes_through_recurrent_layers_however_they_run(self, options: dict[str, Any]) -> None:
        model = snn.SequentialState(snn.LIFRecurrent(3, 4), nn.Linear(4, 2), snn.LI())
        profile = norse.compile(model, **options).profile(torch.ones(T, B, 3), backward=True, repeats=2)
        assert {row.layer for row in profile.rows if row.direction == "backward"} == {"", "0", "1", "2"}
        assert profile.repeats == 2


class TestTheModelAfterwards:
    def test_has_its_buffers_its_gradients_and_its_random_numbers(self) -> None:
        model = snn.SequentialState(snn.Lift(nn.BatchNorm1d(3)), nn.Dropout(0.5), nn.Linear(3, 4), snn.LIF())
        compiled, x = norse.compile(model), torch.rand(T, B, 3)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        torch.manual_seed(3)
        wanted = torch.rand(2)
        torch.manual_seed(3)
        compiled.profile(x, backward=True)
        assert torch.equal(torch.rand(2), wanted)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_gives_the_same_result(self) -> None:
        compiled, x = norse.compile(snn.SequentialState(nn.Linear(3, 4), snn.LIF())), 9 * torch.rand(T, B, 3)
        before = compiled(x)[0]
        compiled.profile(x)
        assert torch.equal(compiled(x)[0], before)


class TestTheTable:
    @pytest.fixture
    def compiled(self) -> CompiledModule:
        return norse.compile(snn.SequentialState(nn.Linear(3, 4), snn.LIF()))

    def test_prints_a_line_for_each_row_and_a_sum(self, compiled: CompiledModule) -> None:
        profile = compiled.profile(torch.ones(T, B, 3), repeats=3)
        lines = str(profile).splitlines()
        assert lines[0].split() == ["layer", "operation", "runs", "ms", "%", "MB", "MFLOP", "SynOps", "density"]
        assert len(lines) == len(profile.rows) + 5
        assert lines[-2].split()[-1] == str(T * B * 3 * 4)
        assert lines[-1].startswith("a whole call takes") and lines[-1].endswith("ms (median of 3)")

    def test_of_a_model_that_is_eager_as_a_whole_has_one_row(self) -> None:
        class Deciding(Unclear):
            def forward(self, x: Tensor) -> Tensor:
                return self.fc(x) if bool(x.sum() < 1e9) else x

        profile = norse.compile(Deciding()).profile(torch.ones(B, 3), backward=True)
        assert [(row.layer, row.operation, row.runs, row.direction) for row in profile.rows] == [
            ("", "Deciding", "eager", "forward"),
            ("", "Deciding", "eager", "backward"),
        ]
        assert profile.rows[0].synops == B * 3 * 4 and profile.rows[0].flops == 2 * B * 3 * 4

    def test_takes_a_state_and_empty_sequences(self, compiled: CompiledModule) -> None:
        _, state = compiled(torch.ones(T, B, 3))
        assert compiled.profile(torch.ones(T, B, 3), state).synops == T * B * 3 * 4
        assert compiled.profile(torch.ones(0, B, 3)).synops == 0

    def test_needs_at_least_one_repeat(self, compiled: CompiledModule) -> None:
        with pytest.raises(ValueError, match="argument repeats: expects at least 1, got 0"):
            compiled.profile(torch.ones(T, B, 3), repeats=0)

    def test_is_refused_while_everything_is_eager(self, compiled: CompiledModule) -> None:
        with norse.eager(), pytest.raises(CompileError, match="every model runs eagerly"):
            compiled.profile(torch.ones(T, B, 3))

    @pytest.mark.parametrize("backward", [False, True])
    def test_is_drawn_on_a_timeline_by_torchs_profiler(
        self, compiled: CompiledModule, backward: bool, tmp_path: Path
    ) -> None:
        profile = compiled.profile(torch.ones(T, B, 3), backward=backward, repeats=1)
        for path in (tmp_path / "a.json", tmp_path / "b.json"):  # as often as one likes
            profile.to_chrome_trace(path)
            names = {event.get("name", "") for event in json.loads(path.read_text())["traceEvents"]}
            assert {"norse 0: Linear", "norse 1: LIF loop"} <= names
        assert len(list(tmp_path.iterdir())) == 2
        with pytest.raises(ValueError, match=r"ends in \.json or \.json\.gz"):
            profile.to_chrome_trace(tmp_path / "trace.txt")


class TestRanges:
    def test_are_there_while_torchs_profiler_records(self) -> None:
        compiled, x = norse.compile(snn.SequentialState(nn.Linear(3, 4), snn.LIF())), torch.ones(T, B, 3)
        compiled(x)
        with torch.profiler.profile() as profiler:
            compiled(x)
        assert {"norse 0: Linear", "norse 1: LIF loop"} <= {event.key for event in profiler.key_averages()}

    def test_do_not_disturb_a_profile(self) -> None:
        compiled, x = norse.compile(snn.SequentialState(nn.Linear(3, 4), snn.LIF())), torch.ones(T, B, 3)
        with torch.profiler.profile():
            assert compiled.profile(x, repeats=1).synops == T * B * 3 * 4

    def test_are_not_there_else(self) -> None:
        model = snn.SequentialState(nn.Linear(3, 4), snn.LIF())
        compiled = norse.compile(model)
        compiled(torch.ones(5, 2, 3))
        assert in_ranges(compiled.variant.steps, model) == []
