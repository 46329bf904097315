"""A compiled model inside of what torch.compile and torch.export make: right results, gradients, one operator."""

import copy
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import norse
import norse.torch as snn
from norse.compiler.module import CompiledModule

from .comparison import assert_same_gradients, assert_same_results, observe
from .neurons import FEED_FORWARD, currents, learnt

X = 4 * currents("", 20, 3, 6)
WHEN_CALLED = pytest.mark.parametrize("called", [False, True], ids=["before its first call", "after a call"])


def network() -> snn.SequentialState:
    torch.manual_seed(0)
    lif = FEED_FORWARD["LIF"][2]
    model = snn.SequentialState(
        nn.Linear(6, 8),
        snn.LIF(p=learnt(lif, (8,))),
        snn.LIFRecurrent(8, 7, p=learnt(lif, ()), autapses=True),
        nn.Linear(7, 3),
        snn.LI(),
    ).double()
    with torch.no_grad():
        model[0].weight.normal_(0.3, 1.0)
        model[2].input_weights.mul_(4)
    return model


def compiled(called: bool = True) -> CompiledModule:
    """Exact, so that recurrent sums are eager's."""
    model = norse.compile(network(), exact=True)
    if called:
        model(X.clone().requires_grad_())
    return model


class TestTorchCompile:
    @pytest.fixture(autouse=True)
    def anew(self) -> Any:
        torch._dynamo.reset()
        yield
        torch._dynamo.reset()

    @WHEN_CALLED
    def test_gives_eagers_results_and_gradients_through_native_loops(self, called: bool) -> None:
        model = compiled(called)
        both = torch.compile(model, backend="aot_eager")
        eager = copy.deepcopy(model.model)
        for x in (X, X[:, :2]):
            ours, theirs = observe(both, x), observe(eager, x)
            assert_same_results(ours, theirs)
            gradients = {name.removeprefix("_orig_mod."): g for name, g in ours.gradients.items()}
            assert_same_gradients(type(ours)(ours.results, gradients), theirs)
        assert "native" in model.explain()

    def test_goes_around_a_compiled_part(self) -> None:
        class Around(nn.Module):
            def __init__(self, part: nn.Module) -> None:
                super().__init__()
                self.part, self.last = part, nn.Linear(3, 2).double()

            def forward(self, x: Tensor) -> Tensor:
                return self.last(self.part(2 * x)[0].relu())

        torch.manual_seed(1)
        eager = Around(network())
        model = torch.compile(Around(norse.compile(copy.deepcopy(eager.part), exact=True)), backend="aot_eager")
        model.last.load_state_dict(eager.last.state_dict())
        assert torch.equal(model(X), eager(X))

    def test_sees_what_is_changed_after_it(self) -> None:
        """What a trace takes for constant, torch.compile's guards don't know: ours are asked at every call."""
        model = compiled()
        both = torch.compile(model, backend="eager")
        before = both(X)[0]
        for change in (
            lambda m: setattr(m[1], "dt", 0.002),
            lambda m: m[0].weight.data.mul_(1.5),
            lambda m: setattr(m[4], "p", m[4].p._replace(tau_mem_inv=torch.tensor(300.0))),
        ):
            change(model.model)
            after = both(X)[0]
            assert torch.equal(after, copy.deepcopy(model.model)(X)[0])
            assert not torch.equal(after, before), "the change shows nothing"
            before = after

    @WHEN_CALLED
    def test_can_not_differentiate_twice_either(self, called: bool) -> None:
        both = torch.compile(compiled(called), backend="aot_eager")
        x = X.clone().requires_grad_()
        with pytest.raises(RuntimeError, match="can't be differentiated twice"):
            torch.autograd.grad(both(x)[0].sum(), x, create_graph=True)


class TestTorchExport:
    @pytest.mark.parametrize(("called", "grad"), [(False, False), (True, True)], ids=["at once", "after training"])
    def test_holds_a_loop_as_one_operator(self, called: bool, grad: bool) -> None:
        eager, model = network(), norse.compile(network())
        with torch.set_grad_enabled(grad):
            if called:
                model(X)
            program = torch.export.export(model, (X,), strict=False)
        regions = [node for node in program.graph.nodes if node.target is torch.ops.norse.region.default]
        assert len(regions) == 3
        assert len(program.graph.nodes) < 250, "what was computed to compile is in the program"
        out, state = program.module()(X)
        expected, states = eager(X)
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(state, states, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(model(X)[0], expected, rtol=1e-12, atol=1e-14)  # it can be called as before

    def test_of_it_runs_in_another_process_as_a_saved_model_does(self, tmp_path: Path) -> None:
        model = norse.compile(network())
        with torch.no_grad():
            out = model(X)[0]
            program = torch.export.export(_Output(model), (X,), strict=False)  # torch saves no NamedTuples
        torch.export.save(program, tmp_path / "model.pt2")
        torch.save(model, tmp_path / "model.pt")
        torch.save((X, out), tmp_path / "data.pt")
        subprocess.run([sys.executable, "-c", _LOADS], check=True, cwd=tmp_path, env={**os.environ}, timeout=120)


class _Output(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)[0]


_LOADS = """
import torch
import norse.backends.cpu  # which registers the operator

x, expected = torch.load("data.pt")
exported = torch.export.load("model.pt2").module()
with torch.no_grad():
    assert torch.equal(exported(x), expected)
model = torch.load("model.pt", weights_only=False)
assert torch.equal(model(x)[0], expected) and "native" in model.explain()
model(x)[0].sum().backward()
assert all(parameter.grad is not None for parameter in model.parameters())
"""


def test_torch_save_keeps_what_it_is() -> None:
    model, file = compiled(), io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert_same_results(observe(again, X), observe(model, X))
