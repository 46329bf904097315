"""Biological parameters by a model's name are those of the literature, times in ms and potentials in mV."""

from typing import Any

import pytest
import torch

from norse.torch.functional.coba_lif import CobaLIFParameters
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator import LIParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_adex import LIFAdExParameters
from norse.torch.functional.lif_ex import LIFExParameters
from norse.torch.functional.lsnn import LSNNParameters
from norse.torch.functional.parameter import default_bio_parameters

LI = {"tau_syn_inv": 1 / 2, "tau_mem_inv": 1 / 10, "v_leak": -70}
LIF = LI | {"v_th": -55, "v_reset": -70}
ADEX = {"adaptation_current": 0, "adaptation_spike": 0.01, "delta_T": 2, "tau_ada_inv": 1 / 100}
COBA = {
    "tau_syn_exc_inv": 1 / 0.3, "tau_syn_inh_inv": 1 / 0.5, "e_rev_E": 0, "e_rev_I": -70, "v_thresh": -50,
    "v_reset": -65, "v_rest": -65,
}  # fmt: skip


@pytest.mark.parametrize(("model", "kind", "expected"), [
    ("iaf", IAFParameters, {"v_th": -55, "v_reset": -70}),
    ("li", LIParameters, LI),
    ("lif", LIFParameters, LIF),
    ("lifEx", LIFExParameters, LIF | {"delta_T": 0}),
    ("lifAdEx", LIFAdExParameters, LIF | ADEX),
    ("lsnn", LSNNParameters, LIF | {"tau_adapt_inv": 1 / 100, "beta": 0.5}),
    ("coba", CobaLIFParameters, COBA),
])  # fmt: skip
def test_a_models_parameters_are_these(model: str, kind: Any, expected: dict[str, float]) -> None:
    p = kind(**default_bio_parameters(model))
    for name, value in expected.items():
        torch.testing.assert_close(getattr(p, name), torch.tensor(float(value)))
    unchanged = set(kind._fields) - expected.keys()
    assert all(getattr(p, name) == getattr(kind(), name) for name in unchanged)


def test_a_parameter_can_be_another() -> None:
    p = LIFParameters(**default_bio_parameters("lif", v_th=torch.tensor(-50.0), method="tanh"))
    assert (p.v_th, p.method, p.v_reset) == (-50, "tanh", -70)
    assert default_bio_parameters("lif")["v_th"] == -55


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"argument model: expects one of iaf, li, lif, .*got 'lifx'"):
        default_bio_parameters("lifx")
    with pytest.raises(ValueError, match="argument beta: expects a parameter of lif: tau_syn_inv, "):
        default_bio_parameters("lif", beta=1.0)
