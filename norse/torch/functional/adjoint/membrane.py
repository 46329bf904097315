"""The adjoints of a LIF membrane: with a refractory period or not, coupled to other membranes or not."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from norse.torch.functional.adjoint.eventprop import CurrentSynapse, at_spikes, outer
from norse.torch.functional.lif import LIFParameters


class Membrane(NamedTuple):
    """A membrane and its synapse: their values, or their adjoints.

    Args:
        v: membrane potential, [B, N].
        i: synaptic current, [B, N].
        rho: ticks of refractoriness left, [B, N], or None for a neuron that is never refractory.
    """

    v: Tensor
    i: Tensor
    rho: Tensor | None = None


def membrane_adjoint(
    before: Membrane,
    z: Tensor,
    after: Membrane,
    g: Tensor,
    adjoint: Membrane,
    p: LIFParameters,
    dt: float,
    coupling: Tensor | None = None,
) -> Membrane:
    """One tick back of dv/dt = τm⁻¹((v_leak - v) + i) + G v,  di/dt = -τs⁻¹ i,  h = v - v_th.

    Flow, with r = 1 where the neuron is free and 0 where it is refractory:

    λi ← λi + dt τs⁻¹ (r λv - λi),  λv ← λv - r dt τm⁻¹ λv + dt Gᵀλv

    Spike of neuron k, where the jump of its potential, Δ = v⁺ - v⁻, changes the flow of all coupled to it:

    λv_k ← (v̇⁺_k λv_k + Δ Σ_{m≠k} G_mk λv_m - λρ_k / dt + g_k) / v̇⁻_k

    The derivative of the reset cancels out of it, so that it holds for every reset method. The refractory period is a
    second event: at its end the flow of v begins anew. It ends later by as much as ρ is larger, so that

    λρ = -dt v̇⁺ λv

    there, and stays so until the spike that began the period. (A spike that begins one has no leak in its v̇⁺.)

    As in Wunderlich & Pehle, λi gets τs⁻¹ λv; it is τm / τs times the gradient with respect to i.

    Args:
        before: values before the tick.
        z: the tick's spikes.
        after: values after the tick.
        g: gradient with respect to z.
        adjoint: adjoints after the tick.
        p: parameters.
        dt: time step.
        coupling: G, [N, N], in 1/s.

    Returns:
        The adjoints before the tick.
    """
    leak_before = _leak(before.v, before.i, p)
    leak_after = _leak(after.v, before.i, p)
    to_v = dt * p.tau_mem_inv * adjoint.v
    to_i = adjoint.v
    lost: Tensor | float = 0.0
    rho = None
    if before.rho is not None and after.rho is not None and adjoint.rho is not None:
        refractory, held = before.rho > 0, after.rho > 0
        leak_before = torch.where(refractory, 0.0, leak_before)
        to_v, to_i = torch.where(refractory, 0.0, to_v), torch.where(refractory, 0.0, to_i)
        released = -dt * _leak(after.v, after.i, p) * adjoint.v
        rho = torch.where(refractory & (z <= 0), torch.where(held, adjoint.rho, released), 0.0)
        leak_after = torch.where(held, 0.0, leak_after)
        lost = torch.where(held, adjoint.rho / dt, 0.0)
    v = adjoint.v - to_v
    rate_before, rate_after = leak_before, leak_after
    others: Tensor | float = 0.0
    if coupling is not None:
        rate_before = rate_before + linear(before.v.expand_as(v), coupling)
        rate_after = rate_after + linear(after.v.expand_as(v), coupling)
        others = (after.v - before.v) * (v @ coupling - v * coupling.diagonal())
        v = v + dt * (adjoint.v @ coupling)
    v = at_spikes(z, v, rate_after * v + others - lost + g, rate_before)
    return Membrane(v=v, i=adjoint.i + dt * p.tau_syn_inv * (to_i - adjoint.i), rho=rho)


def _leak(v: Tensor, i: Tensor, p: LIFParameters) -> Tensor:
    return p.tau_mem_inv * ((p.v_leak - v) + i)


def membrane_rule(
    before: Any, z: Tensor, after: Any, g: Tensor, adjoint: Any, p: Any, dt: float, *couplings: Tensor
) -> tuple[Any, ...]:
    """`membrane_adjoint` of a state (v, i), or of one (lif, rho) with parameters (lif, ...); a `Rule`.

    Its coupling is in 1/s, as that of `lif_mc_step`, and has the gradient dt Σ λv vᵀ.
    """
    values, later, adjoints = (_membrane(state) for state in (before, after, adjoint))
    v, i, rho = membrane_adjoint(values, z, later, g, adjoints, getattr(p, "lif", p), dt, *couplings)
    new = adjoint._replace(v=v, i=i) if rho is None else adjoint._replace(lif=adjoint.lif._replace(v=v, i=i), rho=rho)
    return new, *(dt * outer(adjoints.v, values.v.expand_as(v)) for _ in couplings)


def _membrane(state: Any) -> Membrane:
    return Membrane(state.lif.v, state.lif.i, state.rho) if hasattr(state, "rho") else Membrane(state.v, state.i)


MEMBRANE_SYNAPSE = CurrentSynapse(lambda adjoint: _membrane(adjoint).i)
