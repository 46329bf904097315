"""Regularisation: what is added up, and that a loss of it changes a network."""

import copy
import pickle

import pytest
import torch

from norse.torch.functional.lif import LIFFeedForwardState
from norse.torch.functional.regularization import regularize_step, spike_accumulator, voltage_accumulator
from norse.torch.module.lif import LIFCell
from norse.torch.module.regularization import RegularizationCell

SPIKES = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
STATE = LIFFeedForwardState(v=torch.tensor([[0.5, 0.1, 0.0], [0.2, 0.9, 0.0]]), i=torch.zeros(2, 3))


def test_spikes_are_counted_from_tick_to_tick():
    z, count = regularize_step(SPIKES, STATE)
    assert z is SPIKES
    assert count == 3
    assert regularize_step(SPIKES, STATE, spike_accumulator, count)[1] == 6


def test_potentials_are_added_for_each_neuron():
    z, total = regularize_step(SPIKES, STATE, voltage_accumulator)
    assert z is SPIKES
    assert torch.equal(total, STATE.v)
    assert torch.equal(regularize_step(SPIKES, STATE, voltage_accumulator, total)[1], 2 * STATE.v)


@pytest.mark.parametrize(("start", "expected"), [(None, 9.0), (torch.tensor(10.0), 19.0)])
def test_a_cell_remembers_the_amount(start, expected):
    cell = RegularizationCell(state=start)
    for _ in range(3):
        z, count = cell(SPIKES, STATE)
    assert z is SPIKES
    assert count == cell.state == expected
    cell.state = None
    assert cell(SPIKES, STATE)[1] == 3


def test_an_accumulator_can_be_any_function():
    largest = RegularizationCell(lambda z, s, state: s.v.max() if state is None else torch.maximum(state, s.v.max()))
    largest(SPIKES, STATE)
    assert largest(SPIKES, STATE._replace(v=torch.zeros(2, 3)))[1] == torch.tensor(0.9)


def test_learning_to_spike_less_makes_a_network_spike_less():
    torch.manual_seed(0)
    linear, lif = torch.nn.Linear(4, 8), LIFCell()
    optimizer = torch.optim.Adam(linear.parameters(), lr=0.05)
    x = torch.rand(20, 2, 4) * 10
    counts = []
    for _ in range(15):
        cell, state = RegularizationCell(), None
        for tick in x:
            z, state = lif(linear(tick), state)
            _, count = cell(z, state)
        optimizer.zero_grad()
        count.backward()
        optimizer.step()
        counts.append(count.item())
    assert counts[0] > 50
    assert counts[-1] < counts[0] / 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda cell: pickle.loads(pickle.dumps(cell))])
def test_a_cell_can_be_copied_between_ticks(copied):
    cell = RegularizationCell()
    cell(SPIKES.clone().requires_grad_() * 1, STATE)
    again = copied(cell)
    assert again.state == 3
    assert not again.state.requires_grad
    assert cell.state.requires_grad
    assert again(SPIKES, STATE)[1] == 6


def test_a_cell_shows_what_it_adds_up():
    assert repr(RegularizationCell(voltage_accumulator)) == "RegularizationCell(accumulator=voltage_accumulator)"
