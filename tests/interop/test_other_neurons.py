"""Neurons that a tool has not, said by others that it has: each by the rule that the tool was found to follow."""

import warnings

import nir
import numpy as np
import pytest
import torch
from torch import nn

import norse
import norse.torch as snn
from norse.backends.nir_export import SeveralIAFCell, SeveralLIFBoxCell
from norse.backends.nir_export.integrator import IntegratorCell
from norse.torch.functional.reset import reset_subtract, reset_subtract_bounded

SUBTRACT = {"reset_method": reset_subtract}


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one spike a tick, for tools of several
        yield


def newcomers(seed, reset=reset_subtract):
    """Random weights as torch draws them: half of them inhibit."""
    torch.manual_seed(seed)
    p = snn.IAFParameters(reset_method=reset)
    return snn.SequentialState(
        nn.Linear(20, 64, bias=False), snn.IAFCell(p), nn.Linear(64, 2, bias=False), snn.IAFCell(p)
    )


def over_time(model, x):
    with torch.no_grad():
        return snn.Lift(model)(torch.from_numpy(x)[:, None])[0][:, 0].numpy()


def spikes(shape, seed=0):
    return ((np.random.default_rng(seed).random(shape) < 0.3) * 1.0).astype(np.float32)


# ---- the tools' rules, in float64 ------------------------------------------------------------------------------------


def sinabs(node, x):
    """LI: v = exp(-1 / τ) v + x; LIF: the same, with floor(v / threshold) spikes; IF: v = max(v + x, -threshold)."""
    v, given = np.zeros(x.shape[1:]), []
    for now in x:
        if isinstance(node, nir.Affine):
            given.append(node.weight.astype(np.float64) @ now + node.bias)
            continue
        if isinstance(node, nir.IF):
            v = np.maximum(v + now, -node.v_threshold.astype(np.float64))
        else:
            v = np.exp(-1 / node.tau.astype(np.float64)) * v + now
        z = v
        if hasattr(node, "v_threshold"):
            z = np.maximum(np.floor(v / node.v_threshold), 0)
            v = v - z * node.v_threshold
        given.append(z)
    return np.array(given)


def rockpool(node, x):
    """LI: y = exp(-τ / (1 + r) / int(τ)) (y + x)."""
    y, given = np.zeros(x.shape[1:]), []
    for now in x:
        if isinstance(node, nir.Affine):
            given.append(node.weight.astype(np.float64) @ now + node.bias)
            continue
        tau, r = node.tau.astype(np.float64), node.r.astype(np.float64)
        y = np.exp(-tau / (1 + r) / np.trunc(tau)) * (y + now)
        given.append(y)
    return np.array(given)


def chain(rule, graph, x):
    """A file that is a chain of nodes, from Input to Output."""
    after = dict(graph.edges)
    name = after["input"]
    while not isinstance(graph.nodes[name], nir.Output):
        x, name = rule(graph.nodes[name], x), after[name]
    return x


class TestSinabs:
    @pytest.mark.parametrize("seed", range(3))
    def test_potentials_that_fall_far_below_the_threshold(self, seed, tmp_path):
        model, x = newcomers(seed), 0.5 * spikes((400, 20))
        graph = norse.to_nir(model, tmp_path / "a.nir", dialect="sinabs")
        assert isinstance(graph.nodes["1"], nir.LIF)
        expected = over_time(model, x)
        with torch.no_grad():
            first = snn.Lift(model[:2])(torch.from_numpy(x)[:, None])[1]
        assert float(first[1].v.min()) < -2  # Sinabs' IF would not fall so low
        assert expected.sum() > 5
        assert np.array_equal(chain(sinabs, graph, x), expected)
        assert np.array_equal(over_time(norse.from_nir(tmp_path / "a.nir"), x), expected)

    def test_with_the_lower_bound_the_file_has_IF(self, tmp_path):
        model, x = newcomers(0, reset_subtract_bounded), 0.5 * spikes((400, 20))
        graph = norse.to_nir(model, tmp_path / "a.nir", dialect="sinabs")
        assert isinstance(graph.nodes["1"], nir.IF)
        expected = over_time(model, x)
        assert not np.array_equal(expected, over_time(newcomers(0), x))
        assert np.array_equal(chain(sinabs, graph, x), expected)
        assert np.array_equal(over_time(norse.from_nir(tmp_path / "a.nir"), x), expected)
        one_at_a_time = norse.from_nir(tmp_path / "a.nir", reset="subtract")
        assert np.array_equal(over_time(one_at_a_time, x), expected)

    def test_currents_that_are_the_threshold_to_the_last_bit(self, tmp_path):
        """Weights of a half and thresholds of one, as of quantised networks: read back too, v > 1 is v > 1."""
        model = snn.SequentialState(nn.Linear(4, 4, bias=False), snn.IAFCell(snn.IAFParameters(**SUBTRACT)))
        with torch.no_grad():
            model[0].weight.copy_(torch.diag(torch.tensor([0.5, 0.25, 0.125, 1.0])) - torch.eye(4).roll(1, 0) / 4)
        x = spikes((200, 4))
        norse.to_nir(model, tmp_path / "a.nir", dialect="sinabs")
        assert over_time(model, x).sum() > 20
        assert np.array_equal(over_time(norse.from_nir(tmp_path / "a.nir"), x), over_time(model, x))

    def test_of_images_IF_is_held_at_the_bound_and_that_is_said(self, tmp_path):
        torch.manual_seed(0)
        model = snn.SequentialState(nn.Conv2d(1, 2, 3, bias=False), snn.IAFCell(snn.IAFParameters(**SUBTRACT)))
        x = torch.zeros(1, 1, 6, 6)
        with (
            pytest.warns(UserWarning, match="the same as long as v does not fall below it, or with reset_method="),
            pytest.raises(
                ValueError,
                match=r"holds v of IF at -v_threshold from below: that of node '1' falls to -\d.* v_threshold is 1\. "
                "Train with reset_method=reset_subtract_bounded",
            ),
        ):
            norse.to_nir(model, tmp_path / "a.nir", example_input=x, dialect="sinabs")
        assert not list(tmp_path.iterdir())
        with torch.no_grad():
            model[0].weight.abs_()
        graph = norse.to_nir(model, tmp_path / "a.nir", example_input=x, dialect="sinabs")
        assert graph.verification.spikes > 20

    def test_a_synapse_is_a_leaky_integrator_before_its_neurons(self, tmp_path):
        torch.manual_seed(3)
        p = snn.LIFParameters(v_th=torch.tensor(0.6), **SUBTRACT)
        model = snn.SequentialState(nn.Linear(5, 8), snn.LIFCell(p), nn.Linear(8, 2), snn.LICell())
        x = spikes((200, 5))
        graph = norse.to_nir(model, tmp_path / "a.nir", dialect="sinabs")
        assert [type(node).__name__ for node in graph.nodes.values()].count("LI") == 3
        expected = over_time(model, x)
        assert np.allclose(chain(sinabs, graph, x), expected, rtol=1e-4, atol=1e-5)
        assert np.array_equal(chain(sinabs, norse.to_nir(model[:2], dialect="sinabs"), x), over_time(model[:2], x))
        assert np.allclose(over_time(norse.from_nir(tmp_path / "a.nir"), x), expected, rtol=1e-4, atol=1e-5)

    def test_a_network_of_its_neurons_learns(self):
        """Several spikes a tick and the lower bound, as it has them, in training."""
        torch.manual_seed(0)
        p = snn.IAFParameters(reset_method=reset_subtract_bounded, alpha=torch.tensor(10.0))
        model = snn.Lift(snn.SequentialState(nn.Linear(20, 8), SeveralIAFCell(p)))
        x = torch.from_numpy(3 * spikes((20, 4, 20)))
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        losses = []
        for _ in range(20):
            z, _ = model(x)
            loss = ((z.mean(0) - 0.5) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        assert z.max() > 1
        assert losses[-1] < 0.7 * losses[0]
        graph = norse.to_nir(model, example_input=x, dialect="sinabs")
        assert isinstance(graph.nodes["1"], nir.IF)

    def test_several_spikes_need_a_reset_by_subtraction(self):
        with pytest.raises(ValueError, match=r"SeveralLIFBoxCell: expected reset_method=.* got reset_value"):
            SeveralLIFBoxCell(snn.LIFBoxParameters())


class TestReadouts:
    """Leaky integrators behind the last weights, of every kind."""

    KINDS = (
        snn.LIBoxCell(snn.LIBoxParameters(tau_mem_inv=torch.tensor([50.0, 100.0, 200.0]))),
        snn.LICell(snn.LIParameters(tau_syn_inv=torch.tensor([90.0, 150.0, 30.0]))),
        IntegratorCell(),
    )
    NAMES = ("LI", "CubaLI", "I")

    @pytest.mark.parametrize("cell", KINDS, ids=NAMES)
    @pytest.mark.parametrize(("dialect", "rule"), [("sinabs", sinabs), ("rockpool", rockpool)])
    def test_by_the_tools_leaky_integrators(self, dialect, rule, cell, tmp_path):
        torch.manual_seed(1)
        model, x = snn.SequentialState(nn.Linear(4, 3), cell), spikes((100, 4))
        graph = norse.to_nir(model, tmp_path / "a.nir", dialect=dialect)
        expected = over_time(model, x)
        assert np.abs(expected).max() > 0.1
        assert np.allclose(chain(rule, graph, x), expected, rtol=1e-4, atol=1e-6)
        assert np.allclose(over_time(norse.from_nir(tmp_path / "a.nir"), x), expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("cell", KINDS, ids=NAMES)
    def test_by_weights_that_feed_themselves_in_norse(self, cell, tmp_path):
        """Norse runs nodes in the order of the edges, and one that runs before what it is fed by gets last tick's."""
        torch.manual_seed(1)
        model, x = snn.SequentialState(nn.Linear(4, 3), cell), spikes((100, 4))
        graph = norse.to_nir(model, tmp_path / "a.nir", dialect="norse")
        values = {name: np.zeros(3) for name in graph.nodes}
        order = list(dict.fromkeys(target for _, target in graph.edges))
        outputs = []
        for now in x.astype(np.float64):
            values["input"] = now
            for name in order:
                total = sum(values[a] for a, b in graph.edges if b == name)
                node = graph.nodes[name]
                values[name] = total if isinstance(node, nir.Output) else node.weight.astype(np.float64) @ total
                if isinstance(node, nir.Affine):
                    values[name] = values[name] + node.bias
            outputs.append(values["output"])
        expected = over_time(model, x)
        assert np.allclose(outputs, expected, rtol=1e-4, atol=1e-6)
        assert np.allclose(over_time(norse.from_nir(tmp_path / "a.nir"), x), expected, rtol=1e-4, atol=1e-6)

    def test_rockpool_cuts_time_constants_off(self):
        node = nir.LI(tau=np.full(2, 0.02), r=np.ones(2), v_leak=np.zeros(2))
        with pytest.raises(ValueError, match=r"Rockpool cuts off what follows the point: expected whole tau"):
            norse.from_nir(nir.NIRGraph.from_list(node), dialect="rockpool", dt=1e-3)


@pytest.mark.parametrize("dialect", ["norse", "snntorch"])
def test_a_threshold_is_neurons_that_forget_in_a_tick(dialect, tmp_path):
    """v = 0 · v + x: with τ = dt nothing is left of the last tick. Spyx, which is late, is in interop.md."""
    torch.manual_seed(0)
    threshold = snn.Threshold(torch.tensor([0.1, -0.2, 0.3]))
    model, x = snn.SequentialState(nn.Linear(4, 3), threshold), spikes((100, 4))
    graph = norse.to_nir(model, tmp_path / "a.nir", dialect=dialect)
    (node,) = (node for node in graph.nodes.values() if isinstance(node, nir.LIF))
    assert np.allclose(node.tau, graph.metadata["dt"])
    assert np.allclose(node.r, 1)
    assert np.array_equal(node.v_threshold, np.float32([0.1, -0.2, 0.3]))
    expected = over_time(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # forward Euler does not overshoot at τ = dt
        read = norse.from_nir(tmp_path / "a.nir")
    assert 20 < expected.sum() < 280
    assert np.array_equal(over_time(read, x), expected)


def test_all_that_is_in_the_way_is_said_at_once(tmp_path):
    """What NIR can't say, how neurons are reset, and what the tool does not take."""
    model = snn.SequentialState(
        nn.Linear(3, 4), snn.LIFCell(), nn.Linear(4, 4), nn.ReLU(), snn.LIFBoxCell(), nn.Linear(4, 2), snn.LICell()
    )
    with pytest.raises(ValueError, match="4 things are in the way of a file:") as error:
        norse.to_nir(model, tmp_path / "a.nir", dialect="spyx")
    lines = str(error.value).splitlines()
    assert lines[1].startswith("- layer '1' (LIFCell): Spyx 1.0.0 lowers v by the threshold once a tick: expected ")
    assert lines[2].startswith("- layer '3' (ReLU)")
    assert lines[3].startswith("- layer '4' (LIFBoxCell): Spyx 1.0.0 lowers v by the threshold")
    assert lines[4].startswith("- node '6' (CubaLI): Spyx 1.0.0 does not take it: end the model with the layer before")
    assert not list(tmp_path.iterdir())
