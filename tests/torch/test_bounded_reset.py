"""`reset_subtract_bounded`: neurons that inhibition can't push below minus their threshold, eager and compiled."""

import pytest
import torch

import norse
import norse.torch as snn

P = snn.IAFParameters(v_th=torch.tensor(0.75), reset_method=snn.reset_subtract_bounded, alpha=torch.tensor(10.0))


def by_hand(x, th):
    """v' = max(v + x, -th); a spike above th lowers it by th. Python numbers, neuron by neuron."""
    spikes, potentials = [], []
    v = [0.0] * x.shape[1]
    for tick in x.tolist():
        v = [max(one + now, -th) for one, now in zip(v, tick, strict=True)]
        z = [float(one > th) for one in v]
        v = [one - fired * th for one, fired in zip(v, z, strict=True)]
        spikes.append(z)
        potentials.append(v)
    return torch.tensor(spikes), torch.tensor(potentials)


def inputs(seed=0):
    torch.manual_seed(seed)
    return torch.randint(-8, 9, (200, 5)) / 16  # exact in float32, and often on the bounds


def test_the_potential_stops_at_minus_the_threshold():
    x = inputs()
    spikes, potentials = by_hand(x, 0.75)
    assert 20 < spikes.sum() < 500
    assert (potentials == -0.75).sum() > 20
    cell, state = snn.IAFCell(P), None
    for t, tick in enumerate(x):
        z, state = cell(tick[None], state)
        assert torch.equal(z[0], spikes[t])
        assert torch.equal(state.v[0], potentials[t])


@pytest.mark.parametrize("reset", [snn.reset_subtract, snn.reset_subtract_bounded])
def test_compiled_it_is_the_same_bit_for_bit_with_its_gradient(reset):
    layer = snn.IAF(P._replace(reset_method=reset))
    compiled = norse.compile(layer)
    results = []
    for run in (layer, compiled):
        x = inputs(1)[:, None].requires_grad_()
        z, state = run(x)
        (z.sum() + state.v.sum()).backward()
        results.append((z, state.v, x.grad))
    assert "eager" not in str(compiled.explain())
    (z, v, gradient), (compiled_z, compiled_v, compiled_gradient) = results
    assert torch.equal(z, compiled_z)
    assert torch.equal(v, compiled_v)
    assert gradient.abs().sum() > 1
    assert torch.allclose(gradient, compiled_gradient, rtol=1e-5, atol=1e-6)


def test_no_gradient_flows_through_the_bound():
    x = torch.tensor([[-5.0, 0.5]], requires_grad=True)
    _, state = snn.IAFCell(P._replace(alpha=torch.tensor(1e9)))(x)
    state.v.sum().backward()
    assert x.grad.tolist() == [[0.0, 1.0]]
