"""A call leaves nothing to Python's collector: what it holds on to would stay in memory until that runs."""

import gc

import pytest
import torch

import norse
import norse.torch as snn

MODELS = {
    "linear": (lambda: [torch.nn.Linear(6, 9), snn.LIF(), torch.nn.Linear(9, 4), snn.LI()], (6,)),
    "recurrent": (lambda: [snn.LIFRecurrent(6, 9), torch.nn.Linear(9, 4), snn.LI()], (6,)),
    "convolution": (
        lambda: [snn.Lift(torch.nn.Conv2d(2, 3, 3)), snn.LIF(), snn.Lift(torch.nn.AvgPool2d(2))],
        (2, 8, 8),
    ),
    "nested state": (lambda: [snn.LIFRefrac()], (6,)),
    "adaptive": (lambda: [snn.LSNNRecurrent(6, 9)], (6,)),
}


@pytest.mark.parametrize("way", ["eager", "auto", "low"])
@pytest.mark.parametrize("name", MODELS)
def test_forward_and_backward_leave_nothing_to_the_collector(name: str, way: str) -> None:
    layers, shape = MODELS[name]
    model = snn.SequentialState(*layers())
    called = model if way == "eager" else norse.compile(model, memory=way)
    x = (torch.rand(12, 3, *shape) < 0.5).float().requires_grad_()

    def train() -> None:
        output, _ = called(x)
        output.sum().backward()

    train()  # compiles
    train()
    gc.collect()
    gc.disable()
    try:
        train()
        assert gc.collect() == 0
    finally:
        gc.enable()
