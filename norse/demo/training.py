"""Training a spiking network, eagerly or compiled: the same lines do both."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import norse.torch as snn
from norse.demo.digits import Digits, encode
from norse.demo.network import SPIKING, network, observed, scores

BATCH = 32
LEARNING_RATE = 1e-2

# Makes what is called like the network: the network itself, or norse.compile(network).
Prepare = Callable[[torch.nn.Module], Any]
# Told after each batch: steps done, of how many, and the epoch's mean loss so far.
Listener = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Run:
    """What came out of a training: all of it measured."""

    model: snn.SequentialState
    forward: Any  # what `prepare` made of the model
    loss: float  # mean over the last epoch
    accuracy: float  # on the test images
    firing_rates: dict[str, float]  # spikes a neuron and tick, on the test images
    seconds_per_epoch: float  # median
    seconds_of_first_call: float  # forward and backward, once, before the epochs: here a compiled network compiles


def train(digits: Digits, prepare: Prepare, epochs: int, seed: int, listener: Listener) -> Run:
    """Trains a new network. The same seed gives the same network, batches and spikes, whatever `prepare` does."""
    torch.manual_seed(seed)
    model = network()
    forward = prepare(model)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)

    def find_gradients(spikes: Tensor, labels: Tensor) -> float:
        optimizer.zero_grad()
        potentials, _ = forward(spikes)
        loss = cross_entropy(scores(potentials), labels)
        loss.backward()
        return loss.item()

    spikes, labels = next(batches(digits, seed))
    started = time.perf_counter()
    find_gradients(spikes, labels)  # compiles; the optimizer takes no step, so nothing is learnt
    seconds_of_first_call = time.perf_counter() - started

    seconds_of_epochs = []
    for epoch in range(epochs):
        shown = list(batches(digits, seed + epoch))  # spikes are drawn before the clock starts
        losses: list[float] = []
        started = time.perf_counter()
        for spikes, labels in shown:
            losses.append(find_gradients(spikes, labels))
            optimizer.step()
            listener(epoch * len(shown) + len(losses), epochs * len(shown), mean(losses))
        seconds_of_epochs.append(time.perf_counter() - started)
        schedule.step()

    accuracy, firing_rates = evaluate(prepare(observed(model)), digits, seed)
    return Run(model, forward, mean(losses), accuracy, firing_rates, median(seconds_of_epochs), seconds_of_first_call)


def batches(digits: Digits, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The training images in a random order, as spikes [T, B, 64] with their labels [B]."""
    torch.manual_seed(seed)
    for batch in torch.randperm(len(digits.train_labels)).split(BATCH):
        yield encode(digits.train_images[batch]), digits.train_labels[batch]


def evaluate(forward: Any, digits: Digits, seed: int) -> tuple[float, dict[str, float]]:
    """Accuracy on the test images, and the firing rate of each spiking layer."""
    torch.manual_seed(seed)
    with torch.no_grad():
        outputs, _ = forward(encode(digits.test_images))
    right = scores(outputs[-1]).argmax(dim=1) == digits.test_labels
    return right.float().mean().item(), {name: outputs[layer].mean().item() for layer, name in SPIKING.items()}
