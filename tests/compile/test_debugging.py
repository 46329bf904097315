"""Debugging: compiled models run eagerly where one says so, and `norse.compare` finds where two models part."""

import copy
import math
import runpy
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.comparison import Comparison
from norse.compiler.errors import CompileError

T, B = 30, 2


class Talking(nn.Module):
    """Says so whenever its own code runs, which is what a breakpoint in it would see."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        print("here")
        return self.fc(x) * 2


class TestEager:
    @pytest.fixture
    def runs_eagerly(self, capsys: pytest.CaptureFixture[str]) -> Callable[[], bool]:
        """Whether a call of a compiled model comes by its own code."""
        compiled = norse.compile(Talking())
        compiled(torch.ones(B, 3))

        def called() -> bool:
            capsys.readouterr()
            compiled(torch.ones(B, 3))
            return capsys.readouterr().out == "here\n"

        assert not called()
        return called

    def test_runs_the_models_own_code(self, runs_eagerly: Callable[[], bool]) -> None:
        with norse.eager():
            assert runs_eagerly() and runs_eagerly()
        assert not runs_eagerly()

    def test_may_be_nested(self, runs_eagerly: Callable[[], bool]) -> None:
        with norse.eager():
            with norse.eager():
                assert runs_eagerly()
            assert runs_eagerly()
        assert not runs_eagerly()

    def test_ends_with_an_exception(self, runs_eagerly: Callable[[], bool]) -> None:
        with pytest.raises(ZeroDivisionError), norse.eager():
            raise ZeroDivisionError
        assert not runs_eagerly()

    def test_holds_for_the_thread_that_is_inside(self, runs_eagerly: Callable[[], bool]) -> None:
        seen: list[bool] = []
        with norse.eager():
            thread = threading.Thread(target=lambda: seen.append(runs_eagerly()))
            thread.start()
            thread.join()
            assert runs_eagerly()
        assert seen == [False]

    def test_gives_eagers_result_and_gradients(self) -> None:
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Linear(3, 4), snn.LIFRecurrent(4, 4))
        compiled, x = norse.compile(model), 9 * torch.rand(T, B, 3)
        with norse.eager():
            z, state = compiled(x)
        expected, expected_state = model(x)
        assert torch.equal(z, expected) and torch.equal(state[1].v, expected_state[1].v)
        z.sum().backward()
        assert model[0].weight.grad is not None

    @pytest.mark.parametrize(("setting", "eager"), [("1", True), ("0", False), ("", False), (None, False)])
    def test_may_be_said_in_the_environment(
        self, setting: str | None, eager: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("NORSE_EAGER", raising=False)
        if setting is not None:
            monkeypatch.setenv("NORSE_EAGER", setting)
        import norse.compiler.eager as module

        assert runpy.run_path(module.__file__)["SWITCH"].get() is eager

    def test_a_model_that_never_compiled_says_why_it_has_nothing_to_explain(self) -> None:
        compiled = norse.compile(Talking())
        with norse.eager():
            compiled(torch.ones(B, 3))
            with pytest.raises(CompileError, match="NORSE_EAGER"):
                compiled.explain()


def network() -> snn.SequentialState:
    """Two spiking layers, a recurrent one and a readout; all fire under `currents()`."""
    torch.manual_seed(1)
    model = snn.SequentialState(
        nn.Linear(3, 6), snn.LIF(), nn.Linear(6, 5), snn.LIF(), snn.LIFRecurrent(5, 4), nn.Linear(4, 2), snn.LI()
    )
    with torch.no_grad():
        for weight in (model[0].weight, model[2].weight, model[4].input_weights):
            weight.abs_().mul_(3)
    return model


def currents() -> Tensor:
    return 2 * torch.rand(T, B, 3, generator=torch.Generator().manual_seed(2))


def recorded(model: snn.SequentialState, x: Tensor, layer: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Output and states of all ticks of one layer, found without norse.compare."""
    model = copy.deepcopy(model)[: layer + 1]
    model[layer].record_states = True
    with torch.no_grad():
        z, states = model(x)
    return z, states[layer]._asdict()


class TestEqualModels:
    @pytest.mark.parametrize("options", [{"exact": True}, {"backend": "torch", "exact": True}])
    def test_are_equal(self, options: dict[str, object]) -> None:
        model = network()
        report = norse.compare(model, norse.compile(model, **options), currents())
        assert report.equal and report.first is None and report.ticks == T
        assert [layer.layer for layer in report.layers] == ["1", "3", "4", "6", "result"]
        assert all(layer.spikes for layer in report.layers if layer.kind.startswith("LIF")), "it shows nothing"
        assert report.growth == (0.0,) * T and report.spikes_that_differ == 0
        assert "equal at every tick (of 30)" in str(report)

    @pytest.mark.parametrize("dtype, rounding", [(torch.float32, 1e-6), (torch.float64, 1e-13)])
    def test_but_for_rounding_are_equal_and_the_report_says_so(self, dtype: torch.dtype, rounding: float) -> None:
        model, altered = network().to(dtype), network().to(dtype)
        with torch.no_grad():
            altered[5].weight[1, 0] *= 1 + rounding
        x = currents().to(dtype)
        report = norse.compare(model, altered, x)
        with torch.no_grad():
            apart = (model(x)[0] - altered(x)[0]).abs().amax((1, 2))
        assert report.equal and report.first is None and report.layers[-2].first_tick is None
        # the readout's state has currents too, which are larger than what it gives
        assert report.largest == max(report.layers[-2].largest.values()) >= apart.max() > 0
        assert report.layers[-1].growth == pytest.approx(apart.tolist())
        told = f"equal within rounding at every tick (of {T}): {report.largest:.2g} apart at most, at tick "
        assert told in str(report)
        exact = norse.compare(model, altered, x, atol=0)
        assert not exact.equal and exact.first.layer == "6" and exact.largest == report.largest
        assert norse.compare(model, altered, x, atol=1e-5).equal
        assert norse.compare(model, altered, x, rtol=1e-4).equal

    def test_differ_where_it_is_more_than_rounding(self) -> None:
        """What is added grows by 1.5e-6 from tick to tick, and 1 is the largest number."""
        x = torch.ones(T, B, 3)
        x[0] = 0.5
        grown = x + 1.5e-6 * torch.arange(T)[:, None, None]
        model = nn.Sequential(nn.Identity())

        class Grown(nn.Sequential):
            def forward(self, x: Tensor) -> Tensor:
                return grown

        report = norse.compare(model, Grown(nn.Identity()), x)
        assert report.first.tick == 7 and report.first.size == pytest.approx(10.5e-6, rel=0.02)
        assert report.first.allowed == pytest.approx(1e-5, rel=1e-4)
        assert report.largest == pytest.approx(43.5e-6, rel=0.01) and "by up to 4.4e-05 at tick 29" in str(report)
        assert "(1e-05 allowed)" in str(report)

    def test_never_differ_in_a_spike(self) -> None:
        """Spikes are compared exactly, whatever is allowed of other numbers."""

        class Once(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                z = torch.zeros_like(x)
                z[7, 1, 2] = 1.0
                return z

        class Never(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return torch.zeros_like(x)

        for options in ({}, {"atol": 2.0}, {"rtol": 2.0}):
            report = norse.compare(Once(), Never(), currents(), **options)
            assert report.first.tick == 7 and report.first.neuron == (1, 2), options

    def test_may_be_written_as_a_loop_over_cells(self) -> None:
        class Loop(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.fc, self.lif, self.readout = nn.Linear(3, 4), snn.LIFCell(), snn.LICell()

            def forward(self, x: Tensor) -> Tensor:
                state = readout_state = None
                out = []
                for t in range(x.shape[0]):
                    z, state = self.lif(self.fc(x[t]), state)
                    v, readout_state = self.readout(z, readout_state)
                    out.append(v)
                return torch.stack(out)

        torch.manual_seed(0)
        model = Loop()
        report = norse.compare(model, norse.compile(model, exact=True), 3 * currents())
        assert report.equal and report.ticks == T
        assert [(layer.layer, bool(layer.spikes)) for layer in report.layers[:1]] == [("lif", True)]
        altered = copy.deepcopy(model)
        with torch.no_grad():
            altered.fc.bias[3] += 0.1
        assert norse.compare(norse.compile(model), altered, 3 * currents()).first.neuron[-1] == 3

    def test_may_have_parts_that_run_eagerly(self) -> None:
        class InPlace(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.lif = snn.LIF()

            def forward(self, x: Tensor) -> Tensor:
                x = 3 * x
                x += 0.1
                return self.lif(x)[0]

        model = snn.SequentialState(network()[0], InPlace(), nn.Linear(6, 4), snn.LIF())
        compiled = norse.compile(model, exact=True)
        report = norse.compare(model, compiled, currents())
        assert "eager: " in compiled.explain() and "native" in compiled.explain()
        assert report.equal
        assert [layer.layer for layer in report.layers] == ["1.lif", "3", "result"]

    def test_start_from_the_state_that_is_given(self) -> None:
        model, x = network(), currents()
        with torch.no_grad():
            _, state = model(x)
        other = copy.deepcopy(model)
        assert norse.compare(model, norse.compile(model, exact=True), x, state).equal
        rested = recorded(model, x, 1)[1]["v"]
        assert not torch.equal(rested[0], model[1](model[0](x), state[1])[1].v), "the state shows nothing"
        assert norse.compare(snn.Lift(cells(model)), snn.Lift(cells(other)), x, state).equal

    def test_draw_the_same_random_numbers_and_keep_their_statistics(self) -> None:
        model = snn.SequentialState(snn.Lift(nn.BatchNorm1d(3)), nn.Linear(3, 6), nn.Dropout(0.5), snn.LIF())
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        state = torch.get_rng_state()
        assert norse.compare(model, copy.deepcopy(model), 5 * currents()).equal
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    def test_are_left_as_they_were(self) -> None:
        model = network()
        other = copy.deepcopy(model)
        norse.compare(model, norse.compile(other), currents())
        with pytest.raises((ValueError, RuntimeError)):
            norse.compare(model, other, torch.ones(T, B, 7))
        for module in (*model.modules(), *other.modules()):
            assert not module._forward_hooks and not module._forward_pre_hooks
            assert not getattr(module, "record_states", False)

    def test_on_nan_are_equal(self) -> None:
        x = currents()
        x[7, 1, 2] = math.nan
        model = network()
        assert norse.compare(model, copy.deepcopy(model), x).equal
        report = norse.compare(nn.Sequential(snn.Lift(nn.Identity())), nn.Sequential(snn.Lift(nn.ReLU6())), x / 100)
        assert report.equal, "ReLU6 keeps NaN"

    @pytest.mark.parametrize("length", [0, 1])
    def test_over_no_tick_or_one(self, length: int) -> None:
        model = network()
        assert norse.compare(model, norse.compile(model, exact=True), currents()[:length]).equal


def cells(model: snn.SequentialState) -> snn.SequentialState:
    """The network for one tick, with the same weights and parameters."""
    recurrent = snn.LIFRecurrentCell(
        5, 4, input_weights=model[4].input_weights, recurrent_weights=model[4].recurrent_weights
    )
    return snn.SequentialState(
        model[0], snn.LIFCell(), model[2], snn.LIFCell(), recurrent, model[5], snn.LICell()
    )  # fmt: skip


class TestWhereModelsPart:
    def test_an_altered_weight_is_found_at_its_layer_tick_and_neuron(self) -> None:
        """Input 1 is silent until tick 5, and is on in sample 1 then; its weight to neuron 4 is altered."""
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Linear(3, 6, bias=False), snn.LIF(), nn.Linear(6, 2), snn.LIF())
        altered = copy.deepcopy(model)
        with torch.no_grad():
            altered[0].weight[4, 1] += 0.25
        x = torch.zeros(T, B, 3)
        x[3, 0, 0] = x[5, 1, 1] = 2.0
        report = norse.compare(model, altered, x)
        first = report.first
        assert first is not None and not report.equal
        assert (first.tick, first.layer, first.kind, first.field, first.neuron) == (5, "1", "LIF", "v", (1, 4))
        # v + dt/τ (i + x): a current of 0.25 · 2 more, 0.001 · 100 of which go into the membrane
        assert first.size == pytest.approx(0.05, rel=1e-4)
        mine, theirs = (recorded(m, x, 1)[1]["v"][5, 1, 4].item() for m in (model, altered))
        assert first.values == (mine, theirs)

    @pytest.mark.parametrize("compile_first", [False, True])
    def test_an_altered_recurrent_weight_is_found_when_its_neuron_has_fired(self, compile_first: bool) -> None:
        model, x = network(), currents()
        altered = copy.deepcopy(model)
        with torch.no_grad():
            altered[4].recurrent_weights[2, 1] += 0.5
        fired = recorded(model, x, 4)[0][:, :, 1].amax(1).nonzero()[0].item()
        assert fired > 0, "it shows nothing"
        first = norse.compare(
            norse.compile(model, exact=True) if compile_first else model, norse.compile(altered, exact=True), x
        ).first
        assert first is not None
        assert (first.tick, first.layer, first.neuron[-1]) == (fired + 1, "4", 2)

    def test_growth_and_spikes_that_differ_are_those_of_the_recorded_states(self) -> None:
        model, x = network(), currents()
        altered = copy.deepcopy(model)
        with torch.no_grad():
            altered[2].weight[3] *= 1.5
        report = norse.compare(model, altered, x)
        layers = {layer.layer: layer for layer in report.layers}
        assert layers["1"].first_tick is None and layers["1"].spikes_that_differ == 0
        for layer in (3, 4):
            (z, states), (other_z, other_states) = (recorded(m, x, layer) for m in (model, altered))
            apart = torch.stack(
                [(z - other_z).abs().flatten(1).amax(1).double()]
                + [(states[n].double() - other_states[n].double()).abs().flatten(1).amax(1) for n in states]
            ).amax(0)
            found = layers[str(layer)]
            assert found.growth == pytest.approx(apart.tolist())
            assert found.spikes == int(z.sum()) and found.spikes_that_differ == int((z != other_z).sum()) > 0
        assert report.growth[report.first.tick] > 0 and not any(report.growth[: report.first.tick])
        assert report.spikes_that_differ == sum(layer.spikes_that_differ for layer in report.layers)

    def test_results_are_compared_where_there_are_no_neurons(self) -> None:
        x = torch.ones(T, B, 3)
        model = nn.Sequential(nn.Linear(3, 4))
        altered = copy.deepcopy(model)
        with torch.no_grad():
            altered[0].bias[2] += 1.0
        first = norse.compare(model, altered, x).first
        assert first is not None and (first.layer, first.neuron[-1]) == ("result", 2)
        assert first.size == pytest.approx(1.0)

    def test_a_number_on_one_side_alone_is_infinitely_apart(self) -> None:
        x = torch.ones(T, B, 3)
        model = nn.Sequential(nn.Linear(3, 4))
        altered = copy.deepcopy(model)
        with torch.no_grad():
            altered[0].bias[2] = math.nan
        first = norse.compare(model, altered, x).first
        assert first is not None and first.size == math.inf


class TestFiles:
    def test_of_nir_are_compared_as_networks_over_time(self, tmp_path: Path) -> None:
        model = network()
        norse.to_nir(model, tmp_path / "net.nir")
        report = norse.compare(model, tmp_path / "net.nir", currents(), atol=1e-6)  # products of other rounding
        assert report.equal and report.spikes_that_differ == 0 and report.ticks == T and len(report.layers) == 5
        with torch.no_grad():
            model[0].weight[4, 1] += 0.25
        first = norse.compare(model, str(tmp_path / "net.nir"), currents(), atol=1e-6).first
        assert first is not None and (first.layer, first.neuron[-1]) == ("1", 4)

    def test_layers_of_other_names_are_matched_as_they_run(self) -> None:
        named = nn.ModuleDict({"hidden": snn.LIF()})

        class Other(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.parts = named

            def forward(self, x: Tensor) -> Tensor:
                return self.parts["hidden"](x)[0]

        report = norse.compare(snn.LIF(), Other(), currents())
        assert report.equal and [(x.layer, x.other) for x in report.layers[:1]] == [("", "parts.hidden")]


class TestBadInput:
    def test_is_refused(self) -> None:
        with pytest.raises(TypeError, match=r"argument model: expects a torch\.nn\.Module, got str"):
            norse.compare("x", snn.LIF(), currents())
        with pytest.raises(TypeError, match=r"argument other: expects a torch\.nn\.Module or the path .* got int"):
            norse.compare(snn.LIF(), 3, currents())

    def test_outputs_of_another_shape_are_refused_with_the_layers_name(self) -> None:
        narrow = snn.SequentialState(nn.Linear(3, 4), snn.LIF())
        wide = snn.SequentialState(nn.Linear(3, 5), snn.LIF())
        with pytest.raises(ValueError, match=r'layer "1" \(LIF\) in both: .* got \[30, 2, 4\] and \[30, 2, 5\]'):
            norse.compare(narrow, wide, currents())

    def test_models_without_a_layer_in_common_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"no layer of neurons in common: \"\" \(LIF, .*\), and \"1\" \(LIF, "):
            norse.compare(snn.LIF(), snn.SequentialState(nn.Linear(3, 5), snn.LIF()), currents())

    def test_layers_that_one_alone_has_are_named(self) -> None:
        model = network()
        report = norse.compare(model, model[:5], currents())
        assert report.equal and [layer.layer for layer in report.layers] == ["1", "3", "4"]
        assert report.unmatched == ('layer "6"', "the result")
        assert 'only one of them has it: layer "6", the result' in str(report)


class TestTheReport:
    @pytest.fixture
    def report(self) -> Comparison:
        model = network()
        altered = copy.deepcopy(model)
        with torch.no_grad():
            altered[2].weight[3] *= 1.5
        return norse.compare(model, altered, currents())

    def test_says_where_and_by_how_much(self, report: Comparison) -> None:
        lines = str(report).splitlines()
        assert lines[0].startswith(
            f"the first and the second differ from tick {report.first.tick} on (of {T}), by up to "
        )
        assert 'layer "3" (LIF), neuron [' in lines[1] and "apart" in lines[1]
        assert lines[2].startswith("largest difference by tick:")
        assert any(line.startswith('layer "3" (LIF)') for line in lines[3:])

    def test_holds_both_traces_of_the_neuron(self, report: Comparison) -> None:
        mine, theirs = report.traces[report.first.field]
        assert mine.shape == (T,)
        assert (mine[report.first.tick].item(), theirs[report.first.tick].item()) == report.first.values
        assert torch.equal(mine[: report.first.tick], theirs[: report.first.tick])

    def test_draws_them(self, report: Comparison) -> None:
        matplotlib = pytest.importorskip("matplotlib")
        matplotlib.use("Agg")
        figure = report.plot()
        drawn = {axis.get_ylabel(): axis.lines for axis in figure.axes}
        assert list(drawn) == [*report.traces, "largest\ndifference"]
        for name, (mine, theirs) in report.traces.items():
            assert list(drawn[name][0].get_ydata()) == mine.tolist()
            assert list(drawn[name][1].get_ydata()) == theirs.tolist()
        matplotlib.pyplot.close(figure)

    def test_says_what_to_install_to_draw(self, report: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(ModuleNotFoundError, match=r"matplotlib is missing; pip install -e '\.\[viz\]' in a clone"):
            report.plot()

    def test_has_nothing_to_draw_where_models_are_equal(self) -> None:
        with pytest.raises(ValueError, match="nothing to draw"):
            norse.compare(snn.LIF(), snn.LIF(), currents()).plot()
