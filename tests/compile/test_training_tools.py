"""What torch puts around a model while it trains: hooks, checkpoints, autocast, data parallelism, workers that load."""

import copy
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, multiprocessing, nn
from torch.utils.checkpoint import checkpoint

import norse
import norse.torch as snn

from .comparison import assert_same_results, assert_spikes_and_silence, observe

X = 4 * torch.rand(20, 4, 6, generator=torch.Generator().manual_seed(2))


def network(*more: nn.Module) -> snn.SequentialState:
    """Eager and compiled sum its recurrent currents in one order: it is compiled with `exact=True`."""
    torch.manual_seed(0)
    p = snn.LIFParameters(alpha=torch.tensor(10.0))
    model = snn.SequentialState(
        nn.Linear(6, 8), snn.LIF(p), *more, snn.LIFRecurrent(8, 7, p), nn.Linear(7, 3), snn.LI()
    )
    with torch.no_grad():
        model[0].weight.normal_(0.3, 1.0)
        model.get_submodule(str(2 + len(more))).input_weights.mul_(4)
    return model


def test_the_network_shows_something() -> None:
    assert_spikes_and_silence(network(), X)


class TestHooksOfTheCompiledModule:
    def test_of_all_kinds_see_and_change_what_eagers_do(self) -> None:
        seen: list[list[Any]] = []
        for model in (network(), norse.compile(network(), exact=True)):
            log: list[Any] = []
            model.register_forward_pre_hook(lambda _, args, log=log: log.append("pre") or (1.5 * args[0],))
            model.register_forward_pre_hook(
                lambda _, args, kwargs, log=log: log.append(sorted(kwargs)) or (args, kwargs), with_kwargs=True
            )
            model.register_forward_hook(lambda _, args, out, log=log: log.append("forward") or (2 * out[0], out[1]))
            model.register_full_backward_pre_hook(lambda _, out, log=log: log.append("backward pre") or _times(5, out))
            model.register_full_backward_hook(lambda _, into, out, log=log: log.append("backward") or _times(3, into))
            x = X.clone().requires_grad_()
            out = model(x, state=None)[0]
            out.sum().backward()
            seen.append([log, out.detach(), x.grad, *(p.grad for p in model.parameters())])
        (names, *eager), (ours, *mine) = seen
        assert ours == names == ["pre", ["state"], "forward", "backward pre", "backward"]
        for theirs, found in zip(eager, mine, strict=True):
            torch.testing.assert_close(found, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))

    def test_may_be_put_on_at_any_time_and_taken_off(self) -> None:
        model, calls = norse.compile(network()), []
        model(X)
        handle = model.register_forward_hook(lambda *_: calls.append(1))
        model(X)
        handle.remove()
        model(X)
        assert calls == [1]
        assert "native" in model.explain()


def _times(factor: float, gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else factor * gradient for gradient in gradients)


class TestCheckpoints:
    @pytest.mark.parametrize("reentrant", [False, True])
    def test_give_eagers_gradients_from_the_first_call_on(self, reentrant: bool) -> None:
        """With the dropout that was drawn in the forward."""
        eager = network(nn.Dropout(0.5))
        compiled = norse.compile(copy.deepcopy(eager), exact=True)
        expected = gradients_after(eager, lambda x: checkpoint(eager, x, use_reentrant=reentrant)[0])
        for _ in range(2):
            found = gradients_after(compiled, lambda x: checkpoint(compiled, x, use_reentrant=reentrant)[0])
            for theirs, mine in zip(expected, found, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
        assert "eager" not in compiled.explain()


def gradients_after(model: nn.Module, call: Callable[[Tensor], Tensor]) -> list[Tensor]:
    torch.manual_seed(4)
    model.zero_grad()
    x = X.clone().requires_grad_()
    call(x).square().sum().backward()
    return [tensor.grad.clone() for tensor in (x, *model.parameters()) if tensor.grad is not None]


class TestLowPrecision:
    @pytest.mark.parametrize("exact", [False, True], ids=["", "exact"])
    def test_autocast_to_bfloat16_gives_eagers_numbers_and_types(self, exact: bool) -> None:
        eager = network()
        compiled = norse.compile(copy.deepcopy(eager), exact=exact)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            theirs, mine = observe(eager, X), observe(compiled, X)
        assert theirs.results[0].dtype == torch.bfloat16
        assert_same_results(mine, theirs)
        for name, gradient in theirs.gradients.items():
            apart = (mine.gradients[name] - gradient).abs().max() / gradient.abs().max()
            assert apart < 0.02, f"the gradient of {name} is off by {apart:.1e}"
        theirs, mine = observe(eager, X), observe(compiled, X)  # nothing of it is left behind
        assert mine.results[0].dtype == theirs.results[0].dtype == torch.float32
        assert torch.equal(mine.results[0], theirs.results[0])

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
    def test_models_of_half_precision_give_eagers_numbers(self, dtype: torch.dtype) -> None:
        eager = network().to(dtype)
        compiled = norse.compile(copy.deepcopy(eager))
        theirs, mine = observe(eager, X.to(dtype)), observe(compiled, X.to(dtype))
        assert_same_results(mine, theirs)
        assert all(g is not None and g.dtype == dtype for g in mine.gradients.values())
        assert "kernels know float32 and float64" in compiled.explain()


class TestInferenceMode:
    def test_its_tensors_are_refused_by_a_call_with_gradients_as_eager_refuses_them(self) -> None:
        with torch.inference_mode():
            x = 1 * X
        for model in (network(), norse.compile(network())):
            with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
                model(x)

    def test_its_results_may_be_given_to_a_call_without_gradients(self) -> None:
        eager = network().eval()
        compiled = norse.compile(copy.deepcopy(eager), exact=True)
        with torch.inference_mode():
            x, (_, state) = 1 * X, compiled(X)
        with torch.no_grad():
            assert torch.equal(compiled(x, state)[0], eager(x, state)[0])


class TestDistributedDataParallel:
    def test_averages_the_gradients_of_two_processes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(Path(__file__).parents[2])  # where the processes find this module
        multiprocessing.start_processes(_trains_on_its_half, (str(tmp_path),), nprocs=2, start_method="spawn")
        first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
        eager = network()
        for half in X.chunk(2, 1):
            (eager(half)[0].square().sum() / 2).backward()
        for parameter, mine, other in zip(eager.parameters(), first, second, strict=True):
            assert torch.equal(mine, other)
            assert parameter.grad is not None and parameter.grad.any()
            torch.testing.assert_close(mine, parameter.grad, rtol=1e-4, atol=1e-4 * float(parameter.grad.abs().max()))


def _trains_on_its_half(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(norse.compile(network(), exact=True))
    z, _ = model(X.chunk(2, 1)[rank])
    assert torch.equal(z, network()(X.chunk(2, 1)[rank])[0])
    z.square().sum().backward()
    assert "native" in model.module.explain()
    kept = Path(folder, f"{rank}.pt")
    torch.save([parameter.grad for parameter in model.parameters()], kept.with_suffix(".part"))
    kept.with_suffix(".part").rename(kept)
    while not Path(folder, f"{1 - rank}.pt").exists():  # it may still be receiving
        time.sleep(0.01)
    os._exit(0)  # what gloo's destructors do while Python ends may wait for Python for ever


class _Encoded(torch.utils.data.Dataset[Tensor]):
    """What a compiled model makes of a sample, computed by those who load it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        with torch.no_grad():
            return self.model(X[:, index])[0]  # type: ignore[no-any-return]


def test_workers_that_load_data_may_call_it() -> None:
    eager = network()
    loader = torch.utils.data.DataLoader(
        _Encoded(norse.compile(copy.deepcopy(eager), exact=True)), batch_size=None, num_workers=2
    )
    for index, loaded in enumerate(loader):
        assert torch.equal(loaded, eager(X[:, index])[0])
    assert index == 3
