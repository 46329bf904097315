"""`norse.torch`'s own verbs for NIR take the published arguments, each of which does what it is called."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from torch import Tensor

from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.iaf import IAFCell
from norse.torch.module.leaky_integrator_box import LIBoxCell
from norse.torch.module.lif import LIF, LIFCell, LIFRecurrentCell
from norse.torch.module.lif_box import LIFBoxCell
from norse.torch.module.lift import Lift
from norse.torch.module.sequential import SequentialState
from norse.torch.utils.export_nir import to_nir
from norse.torch.utils.import_nir import CubaLIF, from_nir


def run(cell: torch.nn.Module, x: Tensor) -> Tensor:
    """Outputs of all ticks."""
    out, _ = Lift(cell)((x, None))
    return out  # type: ignore[no-any-return]


def lif_node(**changed: float) -> nir.LIF:
    values = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0} | changed
    return nir.LIF(**{name: np.array([value], np.float32) for name, value in values.items()})


# ---- to_nir ----------------------------------------------------------------------------------------------------------


LOW = {"v_th": torch.tensor(0.3), "v_reset": torch.tensor(-0.2)}


@pytest.mark.parametrize("cell", [
    lambda: LIFCell(LIFParameters(**LOW)),
    lambda: LIFBoxCell(LIFBoxParameters(**LOW)),
    lambda: IAFCell(IAFParameters(v_reset=LOW["v_reset"])),
    lambda: LIFRecurrentCell(5, 5, LIFParameters(**LOW)),
], ids=["LIFCell", "LIFBoxCell", "IAFCell", "LIFRecurrentCell"])  # fmt: skip
def test_a_model_comes_back_with_the_same_spikes(cell: Callable[[], torch.nn.Module]) -> None:
    torch.manual_seed(0)
    model = SequentialState(torch.nn.Linear(3, 5), cell(), torch.nn.Linear(5, 2), LIBoxCell())
    x = 5 * torch.rand(50, 2, 3)
    with torch.no_grad():
        assert (run(SequentialState(*model[:2]), x) > 0).any()
        torch.testing.assert_close(run(from_nir(to_nir(model, x[0])), x), run(model, x), rtol=0, atol=0)


def test_convolutions_come_back_with_a_bias_and_without() -> None:
    torch.manual_seed(0)
    for bias in (True, False):
        model = SequentialState(torch.nn.Conv2d(1, 2, 3, bias=bias), LIFBoxCell(), torch.nn.Flatten())
        x = 20 * torch.rand(20, 2, 1, 6, 6)
        with torch.no_grad():
            model[0].weight.abs_()
            expected = run(model, x)
            assert expected.any()
            assert torch.equal(run(from_nir(to_nir(model, x[0])), x), expected)


def test_sample_data_tells_the_shape() -> None:
    assert to_nir(LIFBoxCell(), torch.zeros(1, 4)).nodes["norse"].tau.shape == (4,)
    with pytest.raises(ValueError, match="example_input"):
        to_nir(LIFBoxCell())


def test_a_layer_over_time_takes_a_sample_over_time() -> None:
    assert to_nir(LIF(), torch.zeros(9, 1, 4)).nodes["norse"].tau_mem.shape == (4,)


@pytest.mark.parametrize("model", [
    LIFCell(), LIFCell(LIFParameters(v_th=torch.nn.Parameter(torch.tensor(1.0)))), torch.nn.Linear(4, 4),
], ids=["neuron", "neuron that learns", "layer"])  # fmt: skip
def test_a_single_layer_is_called_as_the_model(model: torch.nn.Module) -> None:
    assert list(to_nir(model, torch.zeros(1, 4), model_name="mine").nodes) == ["input", "mine", "output"]


def test_a_chains_nodes_keep_their_names_and_the_graph_has_the_models(tmp_path: Path) -> None:
    graph = to_nir(SequentialState(torch.nn.Linear(3, 4), LIFBoxCell()), model_name="mine")
    assert list(graph.nodes) == ["input", "0", "1", "output"]
    nir.write(tmp_path / "mine.nir", graph)
    assert nir.read(tmp_path / "mine.nir").metadata["model_name"] == "mine"


@pytest.mark.parametrize("name", ["", "a.b"])
def test_a_name_that_no_node_can_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="to_nir: argument model_name: expects a name without dots"):
        to_nir(LIFCell(), torch.zeros(1, 4), model_name=name)


def test_time_constants_are_the_factor_by_the_rate() -> None:
    p = LIFParameters(tau_mem_inv=torch.tensor(0.1), tau_syn_inv=torch.tensor(0.2))  # 1/ms
    node = to_nir(LIFCell(p, dt=1.0), torch.zeros(1, 1), time_scaling_factor=0.001).nodes["norse"]
    np.testing.assert_allclose([node.tau_mem[0], node.tau_syn[0]], [0.01, 0.005], rtol=1e-6)


def test_without_type_check_nothing_is_said_of_shapes_that_nir_cant_check() -> None:
    model, x = SequentialState(torch.nn.Conv2d(2, 2, 3, groups=2), LIFBoxCell()), torch.zeros(1, 2, 6, 6)
    with pytest.warns(UserWarning, match="nir can't work out the shapes"):
        to_nir(model, x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_nir(model, x, type_check=False)


def test_what_nir_cant_say_is_refused() -> None:
    with pytest.raises(ValueError, match="ReLU"):
        to_nir(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU()), torch.zeros(1, 3))
    with pytest.raises(TypeError, match=r"expects a torch\.nn\.Module, got int"):
        to_nir(3)  # type: ignore[arg-type]


# ---- from_nir --------------------------------------------------------------------------------------------------------


def test_a_node_on_its_own_is_a_network() -> None:
    """v_reset is kept: after a spike the membrane goes on from there."""
    model = from_nir(lif_node(v_reset=-0.5))
    z, state = model(torch.full((1, 1), 11.0))
    assert z.item() == 1
    z, state = model(torch.zeros(1, 1), state)
    (neuron,) = (s for s in state if s is not None)
    assert neuron.v.item() == pytest.approx(-0.5 + 0.1 * 0.5)


def test_dt_is_the_time_step() -> None:
    model = from_nir(lif_node(), dt=0.0005)
    _, state = model(torch.ones(1, 1))
    assert next(s for s in state if s is not None).v.item() == pytest.approx(0.05)


@pytest.mark.parametrize("node", [
    lif_node(),
    nir.IF(r=np.ones(1, np.float32), v_threshold=np.ones(1, np.float32)),
    nir.CubaLIF(**{name: np.full(1, value, np.float32) for name, value in
                   {"tau_mem": 0.01, "tau_syn": 0.005, "r": 1, "v_leak": 0, "v_threshold": 1, "w_in": 5}.items()}),
], ids=lambda node: type(node).__name__)  # fmt: skip
def test_the_reset_is_the_given_one(node: nir.NIRNode) -> None:
    def halve(z: Tensor, v: Tensor, reset: Tensor, th: Tensor) -> Tensor:
        return v * (1 - z / 2)

    x = torch.full((1, 1), 30.0)

    def potential(model: torch.nn.Module) -> float:
        z, state = model(x)
        assert z.item() == 1
        return next(s for s in state if s is not None).v.item()  # type: ignore[no-any-return]

    before = 30.0 if isinstance(node, nir.IF) else 3.0
    assert potential(from_nir(node)) == 0
    assert potential(from_nir(node, reset_method=reset_subtract)) == pytest.approx(before - 1)
    assert potential(from_nir(node, reset_method=halve)) == pytest.approx(before / 2)


def test_the_reset_of_recurrent_neurons_is_the_given_one_too() -> None:
    model = from_nir(to_nir(LIFRecurrentCell(1, 1, autapses=True)), reset_method=reset_subtract)
    assert [m.p.reset_method for m in model.modules() if isinstance(m, LIFRecurrentCell)] == [reset_subtract]


def test_warnings_are_silent_when_they_are_to_be() -> None:
    slow = lif_node(tau=0.0001)
    with pytest.warns(UserWarning, match="longer than the shortest time constant"):
        from_nir(slow)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_nir(slow, ignore_warnings=True)


def test_a_file_is_read_as_its_graph(tmp_path: Path) -> None:
    nir.write(tmp_path / "a.nir", to_nir(LIFBoxCell(), torch.zeros(1, 2)))
    assert isinstance(from_nir(tmp_path / "a.nir"), SequentialState)  # type: ignore[arg-type]


def test_what_is_no_node_is_refused() -> None:
    with pytest.raises(TypeError, match=r"expects a path or a nir\.NIRGraph, got int"):
        from_nir(3)


# ---- CubaLIF ---------------------------------------------------------------------------------------------------------


def test_cuba_lif_is_forward_euler_of_nirs_equations() -> None:
    """dv/dt = (v_leak - v + r i) / τm, di/dt = (-i + w_in x) / τs, in float64 numpy."""
    tau_syn, tau_mem, w_in, r, v_leak, v_th, v_reset, dt = 0.005, 0.02, 1.5, 2.0, -0.1, 0.6, -0.3, 0.001
    p = LIFBoxParameters(*torch.tensor([1 / tau_mem, v_leak, v_th, v_reset], dtype=torch.float64))
    synapse = LIBoxParameters(*torch.tensor([1 / tau_syn, 0.0], dtype=torch.float64))
    cell = CubaLIF(w_in, LIBoxCell(synapse), r, LIFBoxCell(p)).double()
    x = np.random.default_rng(0).uniform(0, 2, 200)
    i, v, spikes, potentials, state = 0.0, v_leak, [], [], None
    for tick in x:
        i += dt / tau_syn * (-i + w_in * tick)
        v += dt / tau_mem * (v_leak - v + r * i)
        spikes.append(float(v > v_th))
        v = v_reset if spikes[-1] else v
        potentials.append(v)
    assert 3 < sum(spikes) < 100
    ours = []
    for tick, v in zip(x, potentials, strict=True):
        z, state = cell(torch.full((1, 1), tick, dtype=torch.float64), state)
        ours.append(z.item())
        assert state.lif.v.item() == pytest.approx(v, abs=1e-9)
    assert ours == spikes


def test_cuba_lif_is_the_cell_that_is_read_from_the_node() -> None:
    torch.manual_seed(0)
    values = {
        "tau_mem": 0.01,
        "tau_syn": 0.005,
        "r": 0.5,
        "v_leak": 0.1,
        "v_threshold": 0.6,
        "v_reset": -0.2,
        "w_in": 2,
    }
    read = from_nir(nir.CubaLIF(**{name: np.full(3, value, np.float32) for name, value in values.items()}))
    p = LIFBoxParameters(*(torch.tensor(value) for value in (100.0, 0.1, 0.6, -0.2)))
    x = 4 * torch.rand(100, 2, 3)
    with torch.no_grad():
        parts = run(CubaLIF(2, LIBoxCell(LIBoxParameters(tau_mem_inv=torch.tensor(200.0))), 0.5, LIFBoxCell(p)), x)
        assert parts.any() and torch.equal(parts, run(read, x))


def test_cuba_lif_learns_and_moves_its_weights() -> None:
    cell = CubaLIF(torch.nn.Parameter(torch.tensor(9.0)), LIBoxCell(), torch.tensor(3.0), LIFBoxCell())
    _, state = cell(torch.ones(1, 1))
    cell(torch.ones(1, 1), state)[0].sum().backward()
    assert cell.w_in.grad is not None and cell.w_in.grad != 0
    assert cell.double().r.dtype == torch.float64 and list(cell.state_dict()) == ["w_in", "r"]


def test_the_library_does_not_load_the_backends_for_its_verbs() -> None:
    code = (
        "import sys, norse.torch.utils.export_nir, norse.torch.utils.import_nir;"
        "assert not {'norse.backends', 'norse.compiler', 'nir'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
