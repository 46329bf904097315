"""What shows where Norse 1.1.0 differs from the equations; `test_differences.py` says how."""

import copy
import importlib
from typing import Any

import torch
from torch import Tensor

from norse.torch.functional import receptive_field
from norse.torch.functional.adjoint.lif_adjoint import lif_adjoint_step, lif_feed_forward_adjoint_step
from norse.torch.functional.adjoint.lif_mc_adjoint import lif_mc_adjoint_step
from norse.torch.functional.adjoint.lif_refrac_adjoint import (
    lif_refrac_adjoint_step,
    lif_refrac_feed_forward_adjoint_step,
)
from norse.torch.functional.adjoint.lsnn_adjoint import lsnn_feed_forward_adjoint_step
from norse.torch.functional.coba_lif import CobaLIFState, coba_lif_step
from norse.torch.functional.correlation_sensor import CorrelationSensorState, correlation_sensor_step
from norse.torch.functional.encode import poisson_encode, population_encode
from norse.torch.functional.izhikevich import inhibition_induced_spiking
from norse.torch.functional.lif import LIFFeedForwardState, LIFParameters, LIFState
from norse.torch.functional.lif_adex import LIFAdExParameters
from norse.torch.functional.lif_ex import LIFExFeedForwardState, LIFExParameters, lif_ex_feed_forward_step
from norse.torch.functional.lif_refrac import LIFRefracFeedForwardState, LIFRefracParameters, LIFRefracState
from norse.torch.functional.lsnn import LSNNFeedForwardState, LSNNParameters
from norse.torch.functional.threshold import heavi_erfc_fn, threshold
from norse.torch.module.izhikevich import IzhikevichCell
from norse.torch.module.lif import LIF, LIFCell, LIFRecurrentCell
from norse.torch.module.lif_correlation import LIFCorrelation
from norse.torch.module.receptive_field import SpatialReceptiveField2d
from norse.torch.module.spikes_to_times_decoder import SpikesToTimesDecoder

from .calculation import Calculation
from .observation import Values

TICKS = 100
ONE = torch.ones((), dtype=torch.float64)


def super_slopes(_: Values) -> list[Tensor]:
    """Backward of SuperSpike at 0.1 with the sharpnesses 1 and 100."""
    x = torch.full((), 0.1, requires_grad=True)
    return [torch.autograd.grad(threshold(x, "super", torch.tensor(alpha)), x)[0] for alpha in (1.0, 100.0)]


def erfc_slope(_: Values) -> Tensor:
    x = torch.zeros((), dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(heavi_erfc_fn(x, 1.0), x)[0]


def leaky_start(_: Values) -> Tensor:
    """The potential after a tick in which nothing moves, in float64."""
    p = LIFParameters(v_leak=0.1 * ONE, tau_mem_inv=100 * ONE, tau_syn_inv=200 * ONE)
    return LIF(p)(torch.zeros(1, 1, dtype=torch.float64))[1].v


def izhikevich_start(_: Values) -> Tensor:
    """The potential after a tick without input, in float64."""
    return IzhikevichCell(inhibition_induced_spiking)(torch.zeros(1, dtype=torch.float64))[1].v


def coba_input(_: Values) -> Tensor:
    """g_e after a tick with an input of 1 through a weight of 1, without spikes."""
    state = CobaLIFState(*torch.zeros(4, 1, 1))._replace(v=torch.full((1, 1), -20.0))
    return coba_lif_step(torch.ones(1, 1), state, torch.ones(1, 1), torch.zeros(1, 1))[1].g_e


def sharp_exponential(_: Values) -> Any:
    """Neurons below and above their threshold with Δ_T = 0."""
    state = LIFExFeedForwardState(v=torch.tensor([0.5, 1.5]), i=torch.zeros(2))
    return lif_ex_feed_forward_step(torch.zeros(2), state, LIFExParameters(delta_T=torch.tensor(0.0)))


def biological_defaults(_: Values) -> Tensor:
    return torch.tensor([hasattr(kind, "bio_default") for kind in (LIFParameters, LIFExParameters, LIFAdExParameters)])


def batched_correlation(_: Values) -> Tensor:
    return LIFCorrelation(3, 2)(torch.ones(4, 3), torch.ones(2, 3), torch.ones(2, 2), None)[0]


def decoder(_: Values) -> Tensor:
    """What moves the time of a spike, in float64."""
    spikes = torch.ones(3, 1, 1, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(SpikesToTimesDecoder()(spikes).sum(), spikes)[0]


def batched_sensors(_: Values) -> Any:
    state = CorrelationSensorState(*torch.zeros(3, 2, 3, 1))
    return correlation_sensor_step(torch.ones(2, 3), torch.ones(2, 1), state)


def population_gradient(_: Values) -> Tensor:
    """What moves all responses where the largest input, which sets the scale, moves."""
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    return torch.autograd.grad(population_encode(x, 3).sum(), x)[0]


def recurrent_adjoint(_: Values) -> Tensor:
    """∂i'/∂W_rec where neuron 0 spiked in the last tick and neuron 1 spikes in this one."""
    w_rec = torch.zeros(2, 2, requires_grad=True)
    state = LIFState(z=torch.tensor([[1.0, 0.0]]), v=torch.tensor([[0.0, 0.99]]), i=torch.full((1, 2), 3.0))
    _, new = lif_adjoint_step(torch.ones(1, 1), state, torch.zeros(2, 1), w_rec, LIFParameters())
    return torch.autograd.grad(new.i.sum(), w_rec)[0]


def noise() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(TICKS, 3, generator=generator, dtype=torch.float64) * 1.5 + 0.6


def over_time(step: Any, state: Any, p: Any) -> Tensor:
    """The input's gradient of an adjoint step, of a loss in which every spike has a weight of its own."""
    x, outs = noise().requires_grad_(), []
    for tick in x:
        z, state = step(tick, state, p)
        outs.append(z)
    spikes = torch.stack(outs)
    wave = torch.arange(spikes.numel(), dtype=spikes.dtype).cos().view_as(spikes)
    return torch.autograd.grad((wave * spikes).sum(), x)[0]


def lif_adjoint(_: Values) -> Tensor:
    zeros = torch.zeros(3, dtype=torch.float64)
    return over_time(lif_feed_forward_adjoint_step, LIFFeedForwardState(zeros, zeros), LIFParameters())


def refractory_adjoint(_: Values) -> Tensor:
    """Neurons with a refractory period of 0 ticks."""
    zeros = torch.zeros(3, dtype=torch.float64)
    state = LIFRefracFeedForwardState(LIFFeedForwardState(zeros, zeros), zeros)
    return over_time(lif_refrac_feed_forward_adjoint_step, state, LIFRefracParameters(rho_reset=0 * ONE))


def refractory_recurrent_adjoint(_: Values) -> Tensor:
    weights = torch.ones(2, 2, requires_grad=True)
    state = LIFRefracState(LIFState(*torch.zeros(3, 1, 2)), torch.zeros(1, 2))
    _, new = lif_refrac_adjoint_step(torch.ones(1, 2), state, weights, torch.zeros(2, 2), LIFRefracParameters())
    return torch.autograd.grad(new.lif.i.sum(), weights)[0]


def adaptive_adjoint(decay: float) -> Any:
    def compute(_: Values) -> Tensor:
        zeros = torch.zeros(3, dtype=torch.float64)
        p = LSNNParameters(beta=0.2 * ONE, tau_adapt_inv=decay * ONE)
        return over_time(lsnn_feed_forward_adjoint_step, LSNNFeedForwardState(zeros, zeros, zeros + 1), p)

    return compute


def compartment_adjoint(_: Values) -> Tensor:
    state = LIFState(*torch.zeros(3, 1, 2))
    weights = torch.ones(2, 2, requires_grad=True)
    coupling = torch.zeros(2, 2)
    _, new = lif_mc_adjoint_step(torch.ones(1, 2), state, weights, coupling, coupling)
    return torch.autograd.grad(new.i.sum(), weights)[0]


def conductance_adjoint(_: Values) -> Tensor:
    """Whether there is one."""
    importlib.import_module("norse.torch.functional.adjoint.coba_lif_adjoint")
    return torch.ones(())


def adjoint_cell(_: Values) -> Tensor:
    return LIFCell(LIFParameters(method="adjoint"))(torch.ones(1))[1].v


def copied_diagonal(_: Values) -> Tensor:
    """The gradient of a copied cell's autapses, of which it has none."""
    torch.manual_seed(0)
    cell = copy.deepcopy(LIFRecurrentCell(2, 2, LIFParameters(method="tanh", alpha=1.0)))
    _, state = cell(torch.ones(1, 2))
    _, state = cell(torch.ones(1, 2), state._replace(z=torch.ones(1, 2)))
    state.i.sum().backward()
    return cell.recurrent_weights.grad.diagonal()


def separate_fields(_: Values) -> Tensor:
    rows = receptive_field.spatial_parameters(torch.ones(1), torch.zeros(1), torch.ones(1), [(0, 0)])
    return SpatialReceptiveField2d(2, 5, rows, aggregate=False)(torch.ones(1, 2, 8, 8))


def spatio_temporal_fields(_: Values) -> Tensor:
    one = torch.ones(2)
    return receptive_field.spatio_temporal_parameters(one, 0 * one, one / 2, [(0, 0)], one)


def derivative_pairs(_: Values) -> Tensor:
    one = torch.ones(1)
    return receptive_field.spatial_parameters(one, 0 * one, one / 2, 1)[:, -2:]


def derivative_of_columns(_: Values) -> Tensor:
    """At angle 0, of a kernel that rises from column to column."""
    return receptive_field.derive_kernel(torch.arange(4.0).expand(4, 4).clone(), torch.zeros(()))


DIFFERENCES = {
    compute.__name__: Calculation(compute, {}, backward=False)
    for compute in (
        super_slopes,
        erfc_slope,
        leaky_start,
        izhikevich_start,
        coba_input,
        sharp_exponential,
        biological_defaults,
        batched_sensors,
        batched_correlation,
        conductance_adjoint,
        decoder,
        population_gradient,
        recurrent_adjoint,
        lif_adjoint,
        refractory_adjoint,
        refractory_recurrent_adjoint,
        compartment_adjoint,
        adjoint_cell,
        copied_diagonal,
        separate_fields,
        spatio_temporal_fields,
        derivative_pairs,
        derivative_of_columns,
    )
} | {
    "poisson": Calculation(lambda _: poisson_encode(torch.ones(1, dtype=torch.float64), 3), {}, backward=False),
    "adaptive_adjoint, steady": Calculation(adaptive_adjoint(0.0), {}, backward=False),
    "adaptive_adjoint, decaying": Calculation(adaptive_adjoint(5.0), {}, backward=False),
}
