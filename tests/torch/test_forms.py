"""Every form of every model: tick by tick or all at once, in a batch or one by one, saved and reloaded."""

import io

import pytest
import torch
from torch.utils import _pytree as pytree

import norse.torch as snn

from .neurons import CELLS, FORMS, LAYERS, RECURRENT, Form, assert_same, tensors

TICKS, BATCH = 40, 3
PAIRS = list(zip(CELLS, LAYERS, strict=True))


def run(form: Form, module, x, state=None):
    """All ticks through a layer, or one by one through a cell: the outputs [T, ...] and the last state."""
    if form.over_time:
        return module(x, state)
    outputs = []
    for tick in x:
        output, state = module(tick, state)
        outputs.append(output)
    return torch.stack(outputs), state


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_neurons_spike_when_driven_and_are_silent_when_not(form):
    module = form.make()
    driven, _ = run(form, module, form.input(TICKS, BATCH))
    silent, _ = run(form, module, torch.zeros(TICKS, BATCH, form.features))
    if form.model.spikes:
        assert set(driven.unique().tolist()) == {0.0, 1.0}
    assert driven.abs().sum() > 0
    assert silent[TICKS // 2 :].abs().sum() == 0  # CobaLIF starts above its threshold


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: str(pair[1]))
def test_one_tick_at_a_time_equals_all_at_once(pair):
    cell, layer = pair
    x = layer.input(TICKS, BATCH)
    assert_same(run(layer, layer.make(), x), run(cell, cell.make(), x))


@pytest.mark.parametrize("form", LAYERS, ids=str)
def test_a_sequence_in_pieces_equals_the_whole(form):
    module, x = form.make(), form.input(TICKS, BATCH)
    whole, last = module(x)
    first, state = module(x[:1])
    second, state = module(x[1:17], state)
    third, state = module(x[17:], state)
    assert_same((whole, last), (torch.cat([first, second, third]), state))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_batch_equals_a_loop_over_the_batch(form):
    module, x = form.make(dtype=torch.float64), form.input(TICKS, BATCH, dtype=torch.float64)
    together, last = run(form, module, x)
    for k in range(BATCH):
        alone, state = run(form, module, x[:, k : k + 1])
        torch.testing.assert_close(together[:, k : k + 1], alone)
        for batched, single in zip(tensors(last), tensors(state), strict=True):
            torch.testing.assert_close(batched[k : k + 1], single)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_without_a_batch_a_neuron_does_the_same(form):
    module, x = form.make(dtype=torch.float64), form.input(TICKS, 1, dtype=torch.float64)
    with_batch, _ = run(form, module, x)
    torch.testing.assert_close(run(form, module, x[:, 0])[0], with_batch[:, 0])


@pytest.mark.parametrize("form", LAYERS, ids=str)
def test_recorded_states_are_the_states_of_the_ticks(form):
    module, x = form.make(), form.input(6, BATCH)
    module.record_states = True
    outputs, states = module(x)
    module.record_states = False
    state = None
    for tick, x_t in enumerate(x):
        output, state = module(x_t[None], state)
        assert torch.equal(outputs[tick], output[0])
        for recorded, one in zip(tensors(states), tensors(state), strict=True):
            assert recorded.shape[0] == 6
            assert torch.equal(recorded[tick], one)
    assert type(states) is type(state)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_given_state_of_numbers_equals_one_in_full_shape(form):
    """One number stands for all neurons."""
    module, x = form.make(), form.input(5, 2)
    full = form.state(module)
    value = {id(leaf): 0.0 if set(leaf.unique().tolist()) <= {0.0, 1.0} else 0.3 for leaf in tensors(full)}
    same_everywhere = pytree.tree_map(lambda leaf: torch.full_like(leaf, value[id(leaf)]), full)
    numbers = pytree.tree_map(lambda leaf: torch.tensor(value[id(leaf)]), full)
    expected, last = run(form, module, x, same_everywhere)
    small, state = run(form, module, x, numbers)
    assert_same((small, state), (expected, last))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_given_state_is_not_changed(form):
    module = form.make()
    state = form.state(module)
    before = pytree.tree_map(torch.clone, state)
    run(form, module, form.input(5, 2), state)
    assert_same(state, before)


@pytest.mark.parametrize("form", LAYERS, ids=str)
def test_no_ticks_give_no_outputs_and_the_state_as_it_was(form):
    module = form.make()
    state = form.state(module)
    outputs, last = module(form.input(0, 2), state)
    assert outputs.shape == module(form.input(1, 2))[0][:0].shape
    assert_same(last, state)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_an_empty_batch_gives_an_empty_batch(form):
    module = form.make()
    outputs, state = run(form, module, form.input(2, 0))
    assert outputs.shape == (2, 0, run(form, module, form.input(2, 1))[0].shape[-1])
    full = form.state(module)
    assert [leaf.shape[1:] for leaf in tensors(state)] == [leaf.shape[1:] for leaf in tensors(full)]
    assert all(leaf.shape[0] == 0 for leaf in tensors(state))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_saved_and_reloaded_model_gives_the_same_spikes(form):
    saved, x = form.make(), form.input(TICKS, BATCH)
    file = io.BytesIO()
    torch.save(saved.state_dict(), file)
    file.seek(0)
    other = form.make()
    with torch.no_grad():
        for weights in other.parameters():
            weights.copy_(torch.randn_like(weights))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert_same(run(form, saved, x), run(form, other, x))


@pytest.mark.parametrize("form", RECURRENT, ids=str)
def test_spikes_come_back_through_the_recurrent_weights_one_tick_later(form):
    module, x = form.make(dtype=torch.float64), form.input(TICKS, BATCH, dtype=torch.float64)
    outputs, _ = run(form, module, x)
    first = int(outputs.flatten(1).any(1).nonzero()[0])
    _, before = run(form, module, x[: first + 1])
    _, after = run(form, module, x[: first + 2])
    with torch.no_grad():
        module.recurrent_weights.zero_()
    assert_same(run(form, module, x[: first + 1])[1], before)
    _, without = run(form, module, x[: first + 2])
    assert not all(map(torch.equal, tensors(without), tensors(after)))


@pytest.mark.parametrize("form", [form for form in FORMS if form.model.file != "iaf"], ids=str)
def test_half_the_time_step_and_twice_the_rates_is_the_same_neuron(form):
    """All but an integrator without a leak, which knows no time."""
    slow, fast = form.make(dtype=torch.float64), form.make(double_rates(form.model.parameters()), torch.float64)
    fast.dt = slow.dt / 2
    if form.model.file == "lif_mc":  # whose coupling is a rate
        with torch.no_grad():
            fast.g_coupling.mul_(2)
    x = form.input(TICKS, BATCH, dtype=torch.float64)
    assert_same(run(form, slow, x), run(form, fast, x), exact=False)


def double_rates(p):
    """Every rate (tau_..._inv, c_m_inv) twice as high, nested parameters' too."""
    changed = {}
    for name in getattr(p, "_fields", ()):
        value = getattr(p, name)
        if name.endswith("_inv"):
            changed[name] = value * 2
        elif hasattr(value, "_fields") and name != "s":
            changed[name] = double_rates(value)
    return p._replace(**changed)


def test_every_model_is_in_the_table():
    """A class of neurons that `norse.torch` offers and the table does not know would escape these tests."""
    bases = (snn.SNN, snn.SNNCell, snn.SNNRecurrent, snn.SNNRecurrentCell)
    classes = [value for name in snn.__all__ if isinstance(value := getattr(snn, name), type)]
    offered = {kind.__name__ for kind in classes if issubclass(kind, bases) and kind not in bases}
    assert offered <= {form.name for form in FORMS}
    assert len(offered) > 10
