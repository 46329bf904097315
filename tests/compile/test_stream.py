"""One tick at a time: a stream gives what the model gives of the whole sequence."""

from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import norse
import norse.torch as snn


def spikes(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(1)) < 0.3).to(dtype)


def recurrent() -> nn.Module:
    torch.manual_seed(0)
    model = snn.SequentialState(snn.LIFRecurrent(30, 17), nn.Linear(17, 5), snn.LI())
    model[0].input_weights.data *= 8
    return model


def chain() -> nn.Module:
    torch.manual_seed(0)
    return snn.SequentialState(nn.Linear(30, 20), snn.LIF(), nn.Linear(20, 70, bias=False), snn.LIFAdEx(), snn.LI())


def tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def same(stream: Any, model: nn.Module, x: Tensor, tolerance: float = 1e-5) -> None:
    """Runs both from the start, and compares every tick and the last state."""
    with torch.no_grad():
        expected, state = model(x)
    assert expected.abs().sum() > 0
    torch.testing.assert_close(torch.stack([stream(tick) for tick in x]), expected, atol=tolerance, rtol=tolerance)
    for ours, theirs in zip(tensors(stream.state), tensors(state), strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("make", [recurrent, chain])
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ticks_are_those_of_the_sequence_and_are_replayed(make: Any, batch: int, dtype: torch.dtype) -> None:
    model = make().to(dtype)
    stream = norse.compile(model).stream()
    same(stream, model, spikes(40, batch, 30, dtype=dtype) * 3)
    assert stream.replayed


def test_a_layer_over_time_takes_ticks_on_its_own() -> None:
    model = snn.LIF()
    same(norse.compile(model).stream(), model, spikes(40, 3, 30) * 9)


def test_a_model_of_cells_takes_ticks_as_it_does_anyway() -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(nn.Linear(30, 20), snn.LIFCell(), snn.LICell())
    stream, state, x = norse.compile(model).stream(), None, spikes(30, 2, 30) * 9
    for tick in x:
        expected, state = model(tick, state)
        torch.testing.assert_close(stream(tick), expected.detach())
    assert stream.replayed


def test_a_model_that_does_more_than_kernels_and_linear_layers_is_called_at_every_tick() -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(
        snn.Lift(nn.Conv2d(1, 4, 3)),
        snn.LIF(),
        snn.Lift(nn.MaxPool2d(2)),
        snn.Lift(nn.Flatten()),
        nn.Linear(36, 3),
        snn.LI(),
    )
    stream = norse.compile(model).stream()
    same(stream, model, spikes(20, 2, 1, 8, 8) * 9)
    assert not stream.replayed


def test_a_loop_of_the_users_is_told_what_it_takes() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(30, 20), snn.LIFCell()

        def forward(self, x: Tensor, state: Any = None) -> Any:
            out = []
            for tick in x:
                z, state = self.lif(self.fc(tick), state)
                out.append(z)
            return torch.stack(out), state

    torch.manual_seed(0)
    model = Net()
    same(norse.compile(model).stream(over_time=True), model, spikes(30, 2, 30) * 9)


def test_an_array_gives_an_array() -> None:
    model = recurrent()
    x = spikes(30, 1, 30)
    stream = norse.compile(model).stream()
    out = [stream(tick.numpy()) for tick in x]
    assert stream.replayed
    assert all(type(tick) is numpy.ndarray for tick in out)
    numpy.testing.assert_allclose(numpy.stack(out), model(x)[0].detach().numpy(), atol=1e-5)


def test_what_is_returned_is_not_written_again() -> None:
    stream, x = norse.compile(recurrent()).stream(), spikes(30, 1, 30)
    out = [stream(tick) for tick in x]
    states = [stream.state, stream(x[0]), stream.state]
    kept = [tick.clone() for tick in (*out, *tensors(states))]
    stream(x[0])
    assert all(torch.equal(a, b) for a, b in zip((*out, *tensors(states)), kept, strict=True))


def test_the_state_can_be_given_set_and_forgotten() -> None:
    model, x = recurrent(), spikes(40, 1, 30)
    compiled = norse.compile(model)
    with torch.no_grad():
        whole, _ = model(x)
        _, middle = model(x[:20])
    stream = compiled.stream(middle)
    torch.testing.assert_close(torch.stack([stream(tick) for tick in x[20:]]), whole[20:], atol=1e-5, rtol=1e-5)
    stream.state = middle
    assert stream.replayed
    torch.testing.assert_close(torch.stack([stream(tick) for tick in x[20:]]), whole[20:], atol=1e-5, rtol=1e-5)
    stream.state = None
    torch.testing.assert_close(torch.stack([stream(tick) for tick in x]), whole, atol=1e-5, rtol=1e-5)


def test_another_kind_of_tick_goes_on_from_the_same_state() -> None:
    model, x = recurrent(), spikes(20, 1, 30)
    stream = norse.compile(model).stream()
    out = [stream(tick) if number % 3 else torch.from_numpy(stream(tick.numpy())) for number, tick in enumerate(x)]
    torch.testing.assert_close(torch.stack(out), model(x)[0].detach(), atol=1e-5, rtol=1e-5)


def test_an_optimizers_step_is_seen() -> None:
    model, x = recurrent(), spikes(30, 1, 30)
    stream = norse.compile(model).stream()
    for tick in x[:10]:
        stream(tick)
    state = stream.state
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-0.7)
        expected, _ = model(x[10:], state)
    torch.testing.assert_close(torch.stack([stream(tick) for tick in x[10:]]), expected, atol=1e-5, rtol=1e-5)


def test_a_model_in_training_draws_anew_at_every_tick() -> None:
    torch.manual_seed(0)
    model = snn.SequentialState(nn.Linear(30, 20), nn.Dropout(0.5), snn.LI())
    stream = norse.compile(model.train()).stream()
    for _ in range(3):
        stream(torch.ones(1, 30))
    assert not stream.replayed


def test_what_it_cant_stream_is_told() -> None:
    class Stateless(nn.Module):
        def forward(self, x: Tensor, state: Any) -> Tensor:
            return x

    stream = norse.compile(snn.SequentialState(nn.Linear(3, 4), snn.LIF())).stream()
    with pytest.raises(TypeError, match="stream: argument x: expects a tensor or an array, got list"):
        stream([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="stream: expects a model that returns its output and its state, not Tensor"):
        norse.compile(Stateless()).stream()(torch.ones(1, 3))
