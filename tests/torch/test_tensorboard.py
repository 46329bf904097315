"""Hooks write what a module gives, counted by hand, one step a call."""

import copy
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from norse.torch.module.lif import LIF, LIFCell
from norse.torch.module.sequential import SequentialState
from norse.torch.utils import tensorboard as hooks

SPIKES = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])  # 2 samples, 3 neurons


class Writer:
    """Keeps what a SummaryWriter would write."""

    def __init__(self) -> None:
        self.written: list[tuple[Any, ...]] = []

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None) -> None:
        self.written.append(("scalar", tag, scalar_value, global_step))

    def add_histogram(self, tag: str, values: Any, global_step: int | None = None) -> None:
        self.written.append(("histogram", tag, values.tolist(), global_step))

    def add_image(self, tag: str, img_tensor: Any, global_step: int | None = None, *, dataformats: str = "CHW") -> None:
        self.written.append(("image", tag, img_tensor.tolist(), global_step, dataformats))


EXPECTED = [
    (hooks.hook_spike_activity_mean, ("scalar", "key", 0.5, 0)),
    (hooks.hook_spike_activity_sum, ("scalar", "key", 3.0, 0)),
    (hooks.hook_spike_histogram_mean, ("histogram", "key", [1.0, 0.0, 0.5], 0)),
    (hooks.hook_spike_histogram_sum, ("histogram", "key", [2.0, 0.0, 1.0], 0)),
    (hooks.hook_spike_image, ("image", "key", SPIKES.tolist(), 0, "HW")),
]
MAKERS = [make for make, _ in EXPECTED]


class Fires(torch.nn.Module):
    """A stateful module that gives the spikes it is given."""

    def forward(self, x: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:
        return x, state


@pytest.mark.parametrize(("make", "expected"), EXPECTED)
def test_a_hook_writes(make: Any, expected: tuple[Any, ...]) -> None:
    writer, module = Writer(), Fires()
    module.register_forward_hook(make("key", writer))
    z, _ = module(SPIKES, "state")
    assert writer.written == [expected]
    assert torch.equal(z, SPIKES)  # and leaves the output as it is


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("output", [
    SPIKES, SPIKES.to_sparse(), SPIKES.bool(), SPIKES.half(), SPIKES.clone().requires_grad_(),
], ids=["alone", "sparse", "bool", "half", "learnt"])  # fmt: skip
def test_spikes_of_every_kind_are_written_alike(make: Any, output: torch.Tensor) -> None:
    with_state, writer = Writer(), Writer()
    make("key", with_state)(Fires(), (SPIKES, None), (SPIKES, None))
    make("key", writer)(Fires(), (SPIKES, None), output)
    assert writer.written == with_state.written


def test_sums_are_over_the_time_of_a_layer() -> None:
    writer, layer = Writer(), LIF()
    layer.register_forward_hook(hooks.hook_spike_histogram_sum("sum", writer))
    layer.register_forward_hook(hooks.hook_spike_image("image", writer))
    z, _ = layer(20 * torch.rand(30, 2, 4))
    assert z.any()
    assert writer.written[0][2] == z.sum(0).tolist()
    assert writer.written[1][2] == z.reshape(30, 8).tolist()


def test_each_call_of_a_module_is_a_step() -> None:
    writer, cell, state = Writer(), LIFCell(), None
    cell.register_forward_hook(hooks.hook_spike_activity_sum("sum", writer))
    for _ in range(3):
        _, state = cell(torch.tensor([0.0, 100.0, 100.0]), state)
    assert [(value, step) for _, _, value, step in writer.written] == [(2, 0), (2, 1), (2, 2)]


def test_modules_that_share_a_hook_count_apart_and_so_do_hooks() -> None:
    writer = Writer()
    model = SequentialState(LIFCell(), torch.nn.Linear(2, 2), LIFCell())
    model.register_forward_state_hooks(hooks.hook_spike_activity_sum("shared", writer))
    state = None
    for _ in range(2):
        _, state = model(torch.rand(1, 2), state)
    assert [step for *_, step in writer.written] == [0, 0, 1, 1]
    other = Writer()
    hooks.hook_spike_activity_sum("other", other)(model[0], (torch.zeros(2), None), torch.zeros(2))
    assert other.written[0][-1] == 0


@pytest.mark.parametrize("make", MAKERS)
def test_neurons_without_a_batch_and_a_single_one_are_written(make: Any) -> None:
    for spikes in (torch.tensor([1.0, 0.0]), torch.tensor(1.0)):
        writer = Writer()
        make("key", writer)(Fires(), (spikes, None), (spikes, None))
        assert len(writer.written) == 1


def test_a_hook_keeps_no_module_alive_and_a_model_with_it_can_be_copied() -> None:
    hook, module = hooks.hook_spike_activity_mean("mean", Writer()), Fires()
    module.register_forward_hook(hook)
    copy.deepcopy(module)(SPIKES)
    module(SPIKES)
    gone = weakref.ref(module)
    del module
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(not hooks.HAS_TENSORBOARD, reason="needs tensorboard")
def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    module = Fires()
    with SummaryWriter(str(tmp_path)) as writer:
        for make in MAKERS:
            module.register_forward_hook(make(make.__name__, writer))
        for _ in range(2):
            module(SPIKES)
    read = EventAccumulator(str(tmp_path), {"histograms": 0, "images": 0, "scalars": 0})  # 0: all
    read.Reload()
    for name, value in (("hook_spike_activity_mean", 0.5), ("hook_spike_activity_sum", 3.0)):
        assert [(event.step, event.value) for event in read.Scalars(name)] == [(0, value), (1, value)]
    assert [event.histogram_value.sum for event in read.Histograms("hook_spike_histogram_sum")] == [3, 3]
    assert [(e.height, e.width) for e in read.Images("hook_spike_image")] == [(2, 3)] * 2
