"""Where a compiled model runs: without a compiler, on torch alone, in threads, after a fork, as torch's operators."""

import contextlib
import copy
import multiprocessing
import os
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import norse
import norse.torch as snn
from norse.backends import operators

from .comparison import assert_same_gradients, assert_same_results, observe, tick_by_tick
from .neurons import FEED_FORWARD, USER_STEPS, UserParameters, currents, learnt, zeros_over_time

X = 4 * currents("", 20, 3, 6)


def network() -> snn.SequentialState:
    torch.manual_seed(0)
    lif = FEED_FORWARD["LIF"][2]
    return snn.SequentialState(
        nn.Linear(6, 8),
        snn.LIF(p=learnt(lif, (8,))),
        snn.LIFRecurrent(8, 7, p=learnt(lif, ())),
        nn.Linear(7, 3),
        snn.LI(),
    ).double()


# Runs in a process of its own, since a process looks for a compiler once.
_WITHOUT_COMPILER = """
    import copy, warnings
    import torch
    import norse, norse.torch as snn
    from norse.backends.cpu import BUILDS

    torch.manual_seed(0)
    model = snn.SequentialState(torch.nn.Linear(6, 8), snn.LIF(), snn.LIFRecurrent(8, 7), snn.LI())
    eager, x = copy.deepcopy(model), 20 * torch.rand(20, 3, 6)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = norse.compile(model, exact=True)
        for _ in range(3):
            mine, theirs = compiled(x)[0], eager(x)[0]
            assert torch.equal(mine, theirs) and mine.any()
        another = norse.compile(snn.IAF())
        assert torch.equal(another(x)[0], snn.IAF()(x)[0])
    mine.sum().backward()
    theirs.sum().backward()
    for ours, other in zip(model.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, other.grad, rtol=1e-4, atol=1e-4)
    messages = [str(warning.message) for warning in caught if "norse.compile" in str(warning.message)]
    assert len(messages) == 1, messages
    assert BUILDS.compiled == BUILDS.found == 0
    print(messages[0])
    print(compiled.explain())
"""


def run_without_compiler(first: str = "", **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", f"{first}\n{textwrap.dedent(_WITHOUT_COMPILER)}"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


class TestWithoutACompiler:
    def test_it_works_and_says_so_once(self) -> None:
        said = run_without_compiler(CXX="/nonexistent/g++")
        assert "/nonexistent/g++" in said
        assert "torch, tick by tick" in said

    def test_a_compiler_that_fails_is_none(self) -> None:
        assert "false" in run_without_compiler(CXX="false")

    def test_a_cache_that_can_not_be_written_is_as_good_as_none(self, tmp_path: Path) -> None:
        in_the_way = tmp_path / "file"
        in_the_way.touch()
        assert "cache directory" in run_without_compiler(NORSE_CACHE_DIR=str(in_the_way / "kernels"))

    def test_nor_is_there_one_on_an_empty_path(self) -> None:
        """Apart from the one that comes as a wheel, which this process is told not to have."""
        said = run_without_compiler("import sys; sys.modules['ziglang'] = None", PATH="", CXX="")
        assert "install g++ or clang++" in said


class TestTorchAlone:
    @pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
    def test_a_network_is_eager(self, exact: bool) -> None:
        model = network()
        compiled = norse.compile(copy.deepcopy(model), backend="torch", exact=exact)
        ours, eager = observe(compiled, X), observe(model, X)
        assert torch.equal(ours.results[0] != 0, eager.results[0] != 0)
        if exact:
            assert_same_results(ours, eager)
        assert_same_gradients(ours, eager)
        assert compiled.code == ""
        assert "backend='torch'" in compiled.explain()

    @pytest.mark.parametrize("name", USER_STEPS)
    def test_a_users_step_gives_eagers_bits(self, name: str) -> None:
        layer = snn.SNN(USER_STEPS[name], zeros_over_time, learnt(UserParameters, (5,)))
        x = currents(name, 20, 3, 5)
        ours, eager = observe(norse.compile(copy.deepcopy(layer), backend="torch"), x), observe(layer, x)
        assert_same_results(ours, eager)
        assert_same_gradients(ours, eager)

    def test_cells_are_eager(self) -> None:
        torch.manual_seed(0)
        cell = snn.SequentialState(nn.Linear(6, 5), snn.LIFCell(), snn.LIFRecurrentCell(5, 4)).double()
        nn.init.normal_(cell[0].weight, 0.5)
        compiled = norse.compile(copy.deepcopy(cell), backend="torch")
        ours, eager = observe(compiled, 3 * X, call=tick_by_tick), observe(cell, 3 * X, call=tick_by_tick)
        assert_same_results(ours, eager)
        assert_same_gradients(ours, eager)

    def test_it_can_be_differentiated_twice(self) -> None:
        x = X.clone().requires_grad_()
        z, _ = norse.compile(snn.LI(), backend="torch")(x)
        (gradient,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), x)
        assert second.any()


def regions_called_by(
    model: nn.Module, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[list[Tensor], str, list[int]]]:
    """What a compiled model hands to its native regions, as arguments of `norse::region`."""
    seen: list[tuple[list[Tensor], str, list[int]]] = []
    original = operators.BuiltRegion.forward

    def forward(region: Any, inputs: Any, sizes: Any) -> Any:
        leaves = [tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in inputs]
        seen.append((leaves, region.program.key, list(sizes)))
        return original(region, inputs, sizes)

    with monkeypatch.context() as patched:
        patched.setattr(operators.BuiltRegion, "forward", forward)
        norse.compile(model)(x)
    return seen


def _escapes(x: Tensor, v: Tensor, p: None, dt: float) -> tuple[Tensor, Tensor]:
    """Spikes are drawn."""
    v = 0.9 * v + x
    z = (torch.rand_like(v) < torch.sigmoid(v)).to(v.dtype)
    return z, v * (1 - z)


class TestTorchsOperators:
    @pytest.mark.parametrize(
        "model",
        [
            lambda: snn.LIF(),
            lambda: snn.LIF(p=learnt(FEED_FORWARD["LIF"][2], (6,))),
            lambda: snn.LIFRecurrent(6, 4, p=learnt(FEED_FORWARD["LIF"][2], ())).double(),
            lambda: snn.SNN(USER_STEPS["an undetached reset"], zeros_over_time, learnt(UserParameters, ())),
            lambda: snn.SNN(_escapes, lambda x: torch.zeros_like(x[0]), None),
            lambda: snn.LIF(p=snn.LIFParameters(method="heaviside")),
            network,
        ],
        ids=["LIF", "LIF, learnt", "LIFRecurrent, learnt", "a user's", "random", "no derivative", "a network"],
    )
    def test_a_region_is_a_good_operator(self, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its schema, its fake, its registration for autograd, and AOT dispatch with the gradients it then gives."""
        x = X.clone().requires_grad_()
        for inputs, key, sizes in regions_called_by(model(), x, monkeypatch):
            # In the region's function, all that may have a gradient is a leaf here.
            given = [x.requires_grad_() if x.is_floating_point() else x for x in inputs]
            torch.library.opcheck(torch.ops.norse.region.default, (given, key, sizes))

    def test_a_region_without_gradients_is_one_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with torch.no_grad():
            regions = regions_called_by(snn.LIF(), X, monkeypatch)
        for inputs, key, sizes in regions:
            torch.library.opcheck(torch.ops.norse.region.default, ([x.detach() for x in inputs], key, sizes))

    def test_the_operator_gives_what_the_shortcut_gives(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Under torch.compile and export the dispatcher is in between."""
        model = norse.compile(network(), exact=True)
        direct = observe(model, X)
        with monkeypatch.context() as patched:
            patched.setattr(operators, "is_traced", lambda inputs: True)
            dispatched = observe(model, X)
        assert_same_results(dispatched, direct)
        assert_same_gradients(dispatched, direct)

    def test_a_region_is_found_again_by_its_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a process does that loads a program exported by another."""
        ((inputs, key, sizes),) = regions_called_by(snn.LIF(), X.clone().requires_grad_(), monkeypatch)
        before = torch.ops.norse.region(inputs, key, sizes)
        del operators._REGIONS[key, "cpu"]
        after = torch.ops.norse.region(inputs, key, sizes)
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))

    def test_a_key_that_nobody_knows_is_refused(self) -> None:
        with pytest.raises(RuntimeError, match=r"norse::region: no region 'nonsense'"):
            torch.ops.norse.region([X], "nonsense", [1, 1, 1])


class TestDoubleBackward:
    @pytest.mark.parametrize("dispatched", [False, True], ids=["", "dispatched"])
    def test_is_refused(self, dispatched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """Eager can, with a smooth neuron; a native region says that it can't instead of giving zeros."""
        monkeypatch.setattr(operators, "is_traced", lambda inputs: dispatched)
        x = X.clone().requires_grad_()
        z, _ = norse.compile(snn.LI())(x)
        with pytest.raises(RuntimeError, match="can't be differentiated twice"):
            torch.autograd.grad(z.sum(), x, create_graph=True)

    @pytest.mark.parametrize("reentrant", [False, True])
    def test_is_not_what_a_checkpoint_does(self, reentrant: bool) -> None:
        model, gradients = norse.compile(network()), []
        for call in (model, lambda x: checkpoint(model, x, use_reentrant=reentrant)):
            x = X.clone().requires_grad_()
            call(x)[0].sum().backward()
            gradients.append(x.grad)
        assert gradients[0] is not None and gradients[0].any()
        assert torch.equal(gradients[0], gradients[1])


class TestBackward:
    def test_can_be_run_twice_over_a_retained_graph(self) -> None:
        x = X.clone().requires_grad_()
        z, _ = norse.compile(network())(x)
        (first,) = torch.autograd.grad(z.sum(), x, retain_graph=True)
        (second,) = torch.autograd.grad(z.sum(), x)
        assert torch.equal(first, second) and first.any()

    def test_of_one_result_alone_is_eagers(self) -> None:
        """The output without the state, and each field of the state without the rest."""
        for pick in (lambda r: r[0], lambda r: r[1].v, lambda r: r[1].i, lambda r: r[0][-1], lambda r: r[0][3:7, 1]):
            gradients = []
            for model in (snn.LIF(), norse.compile(snn.LIF())):
                x = X.clone().requires_grad_()
                gradients.append(torch.autograd.grad(pick(model(x)).sum(), x)[0])
            assert gradients[0].any()
            torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-14)

    def test_refuses_what_was_changed_in_between(self) -> None:
        """As eager does: an input or a result that backward needs must still be what it was."""
        model, x = norse.compile(snn.LIF(p=learnt(FEED_FORWARD["LIF"][2], (6,)))), X.clone().requires_grad_()
        z, _ = model(x)
        with torch.no_grad():
            model.model.p.v_reset.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()

    @pytest.mark.parametrize("dispatched", [False, True], ids=["", "dispatched"])
    def test_lets_users_change_what_it_does_not_read(self, dispatched: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """As eager does: the input, the state, and the output where its own derivative does not need it."""
        monkeypatch.setattr(operators, "is_traced", lambda inputs: dispatched)
        gradients = []
        for model in (snn.LI(), norse.compile(snn.LI())):
            leaf = X.clone().requires_grad_()
            x = leaf.clone()
            z, state = model(x)
            with torch.no_grad():
                x.zero_()
            state.i.zero_()
            state.v.mul_(2)
            z = nn.functional.relu(z.mul_(3), inplace=True)
            gradients.append(torch.autograd.grad(z.sum() + state.v.sum(), leaf)[0])
        assert gradients[0].any()
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-14)

    def test_lets_users_change_the_spikes_of_lif(self) -> None:
        """They are decided again from the potential that is kept."""
        model, gradients = snn.LIF(p=learnt(FEED_FORWARD["LIF"][2], (6,))), []
        for forward in (model, norse.compile(model)):
            x = (X * 20).clone().requires_grad_()
            z, _ = forward(x)
            assert z.any()
            gradients.append(torch.autograd.grad((z * 1.0 if forward is model else z).mul_(2).sum(), x)[0])
        assert gradients[0].any()
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-14)

    def test_keeps_no_more_than_it_reads(self) -> None:
        model, x = norse.compile(snn.LIF()), X.clone().requires_grad_()
        z, state = model(x)
        node = z.grad_fn  # of the region itself: nothing stands between it and what it gives
        kept = {saved.data_ptr() for saved in node.saved_tensors}
        assert kept
        assert kept.isdisjoint({x.data_ptr(), *(field.data_ptr() for field in state)})

    @pytest.mark.parametrize("dispatched", [False, True], ids=["", "dispatched"])
    @pytest.mark.parametrize("method", ["heaviside", "super"])
    def test_is_there_for_what_eager_has_one_for(
        self, method: str, dispatched: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(operators, "is_traced", lambda inputs: dispatched)
        required = []
        for model in (
            snn.LIF(p=snn.LIFParameters(method=method)),
            norse.compile(snn.LIF(p=snn.LIFParameters(method=method))),
        ):
            z, state = model(X.clone().requires_grad_())
            required.append([x.requires_grad for x in (z, *state)])
        assert required[0] == required[1]
        assert required[0] == [method != "heaviside", True, True]

    def test_takes_a_state_made_in_inference_mode(self) -> None:
        gradients = []
        for model in (snn.LIF(), norse.compile(snn.LIF())):
            with torch.inference_mode():
                _, state = model(X)
            x = X.clone().requires_grad_()
            gradients.append(torch.autograd.grad(model(x, state)[0].sum(), x)[0])
        assert gradients[0].any()
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-14)

    def test_does_not_see_what_is_done_to_results(self) -> None:
        """Users write into outputs (`z[0] = 0`), where eager's stack allows it."""
        gradients = []
        for model in (snn.LIF(), norse.compile(snn.LIF())):
            x = X.clone().requires_grad_()
            z, _ = model(x)
            z = z.clone()
            z[0] = 0
            gradients.append(torch.autograd.grad(z.sum(), x)[0])
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-12, atol=1e-14)

    def test_through_a_long_sequence_of_calls_is_eagers(self) -> None:
        """Truncated in pieces, with the state in between: one graph."""
        gradients = []
        for model in (network(), norse.compile(network(), exact=True)):
            x, state, total = X.clone().requires_grad_(), None, torch.zeros((), dtype=torch.float64)
            for piece in x.split(6):
                out, state = model(piece, state)
                total = total + out.square().sum()
            gradients.append(torch.autograd.grad(total, x)[0])
        assert gradients[0].any()
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-9, atol=1e-12)


class TestThreads:
    @pytest.mark.parametrize("called", [False, True], ids=["at the first call", "later"])
    def test_may_call_one_module_at_once(self, called: bool) -> None:
        model = norse.compile(network(), exact=True)
        inputs = [(k + 1) * X / 3 for k in range(4)]
        expected = [copy.deepcopy(model.model)(x)[0].detach() for x in inputs]
        if called:
            model(X)
        found: dict[tuple[int, int], Tensor] = {}
        failures: list[BaseException] = []
        start = threading.Barrier(len(inputs))

        def work(index: int) -> None:
            try:
                start.wait()
                for turn in range(5):
                    x = inputs[index].clone().requires_grad_()
                    z = model(x)[0]
                    torch.autograd.grad(z.sum(), x)
                    found[index, turn] = z.detach()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures, failures
        assert len(found) == 5 * len(inputs)
        for (index, _), z in found.items():
            assert torch.equal(z, expected[index])

    def test_may_be_in_different_modes(self) -> None:
        """With gradients, without, and eagerly: each thread has its own."""
        model = norse.compile(network(), exact=True)
        expected = copy.deepcopy(model.model)(X)[0].detach()
        found: list[Tensor] = []

        def work(index: int) -> None:
            for _ in range(5):
                with torch.set_grad_enabled(index % 2 == 0), norse.eager() if index == 3 else contextlib.nullcontext():
                    z = model(X)[0]
                assert z.requires_grad == (index % 2 == 0)
                found.append(z.detach())

        threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 20
        assert all(torch.equal(z, expected) for z in found)

    def test_may_compile_different_models_at_once(self) -> None:
        models = [norse.compile(layer()) for layer, _, _ in FEED_FORWARD.values()]
        expected = [layer()(X)[0].detach() for layer, _, _ in FEED_FORWARD.values()]
        found: list[Tensor | None] = [None] * len(models)

        def work(index: int) -> None:
            found[index] = models[index](X)[0].detach()

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(models))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(z is not None and torch.equal(z, e) for z, e in zip(found, expected, strict=True))


def _in_the_child(model: nn.Module, x: Tensor, queue: Any) -> None:
    z, _ = model(x)
    z.sum().backward()
    queue.put((z.detach().numpy(), model.get_parameter("0.weight").grad.numpy()))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system can't fork")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_child_may_go_on_with_a_model_that_its_parent_used(threads: int) -> None:
    """Threads do not survive a fork; the child works with its own. Enough work for two threads."""
    model = norse.compile(network(), exact=True)
    x = currents("", 20, 300, 6).mul_(4)
    torch.set_num_threads(threads)
    try:
        expected = model(x)[0].detach()
    finally:
        torch.set_num_threads(1)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking a process with threads
        child = context.Process(target=_in_the_child, args=(model, x, queue))
        child.start()
    try:
        z, gradient = queue.get(timeout=60)
    finally:
        child.join(timeout=10)
        if child.is_alive():
            child.kill()
    assert child.exitcode == 0
    assert torch.equal(torch.from_numpy(z), expected)
    assert abs(gradient).sum() > 0


# In a process of its own: here, some test has loaded the driver.
_FORKED = """
    import os
    import torch
    import norse, norse.torch as snn

    torch.set_num_threads(4)
    model = norse.compile(snn.LIF())
    x = torch.rand(20, 5, 2000)  # of which one tick is too little for torch to take threads for
    (x * 2).exp()
    child = os.fork()
    if not child:
        z, _ = model(x)
        os._exit(0 if z.shape == x.shape else 1)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system can't fork")
def test_a_forked_child_may_be_the_first_to_call_a_kernel() -> None:
    """The parent's threads are not there, although only the child loads what would use them."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(_FORKED)], check=True, timeout=30)
