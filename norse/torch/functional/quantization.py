"""Numbers as chips have them: weights, decays and potentials on integer grids, and states that are integers.

Rounding passes gradients straight through, so that what is rounded can be trained.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear

from norse.torch.functional.iaf import iaf_feed_forward_step, iaf_step
from norse.torch.functional.leaky_integrator import li_feed_forward_step, li_step
from norse.torch.functional.leaky_integrator_box import li_box_feed_forward_step, li_box_step
from norse.torch.functional.lif import lif_feed_forward_step, lif_step
from norse.torch.functional.lif_box import lif_box_feed_forward_step, lif_box_step
from norse.torch.functional.recurrent import recurrent_current
from norse.torch.functional.reset import DetachedReset
from norse.torch.functional.threshold import threshold

Overflow = Literal["saturate", "wrap"]

# The steps that have an integer form, and whether their reset passes no gradient to the spikes.
INTEGER_STEPS: Mapping[Callable[..., Any], bool] = {
    iaf_feed_forward_step: False,
    iaf_step: False,
    li_feed_forward_step: False,
    li_step: False,
    li_box_feed_forward_step: False,
    li_box_step: False,
    lif_feed_forward_step: False,
    lif_step: True,
    lif_box_feed_forward_step: False,
    lif_box_step: False,
}

RATES = ("tau_mem_inv", "tau_syn_inv")
POTENTIALS = ("v_leak", "v_th", "v_reset")


class Precision(NamedTuple):
    """How many bits there are for what.

    Args:
        weights: of a weight, its sign included.
        decays: of the fraction dt / tau; None: neurons' parameters are not rounded.
        states: of a membrane potential and a synaptic current, their signs included; None: states are not rounded.
        overflow: what becomes of a state that has more.

    Example:
        >>> Precision(weights=4).states is None
        True
    """

    weights: int = 8
    decays: int | None = 12
    states: int | None = None
    overflow: Overflow = "saturate"


def round_straight_through(x: Tensor) -> Tensor:
    """The nearest integers (of two, the even one), with the gradient of x itself.

    Source: Y. Bengio, N. Léonard, A. Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for
    Conditional Computation", arXiv:1308.3432 (2013).

    Args:
        x: of any shape.

    Returns:
        Integers in the dtype of x.

    Example:
        >>> x = torch.tensor([0.4, 1.6], requires_grad=True)
        >>> (2 * round_straight_through(x)).sum().backward()
        >>> round_straight_through(x).tolist(), x.grad.tolist()
        ([0.0, 2.0], [2.0, 2.0])
    """
    return x + (torch.round(x) - x).detach()  # exact: the difference is, and so is the sum


def quantize_weights(weights: Tensor, scale: Tensor, bits: int) -> Tensor:
    """s · round(clamp(w / s, -m, m)) with m = 2^(bits - 1) - 1: the multiples of a scale that bits can say.

    Weights beyond the largest multiple get no gradient, the others that of their rounded value.

    Source: B. Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", CVPR (2018), with the symmetric range that it has for weights.

    Args:
        weights: w, [out, ...].
        scale: s, one number or [out].
        bits: of a weight, its sign included.

    Returns:
        The rounded weights, in the shape of w.

    Example:
        >>> quantize_weights(torch.tensor([[0.2, -0.6, 9.0]]), torch.tensor(0.5), bits=2)
        tensor([[ 0.0000, -0.5000,  0.5000]])
    """
    largest = 2.0 ** (bits - 1) - 1
    for _ in range(weights.dim() - 1 if scale.dim() else 0):
        scale = scale.unsqueeze(-1)
    return round_straight_through(torch.clamp(weights / scale, -largest, largest)) * scale


def decay_steps(rate: Tensor, dt: float, bits: int) -> Tensor:
    """A = round(2^bits · dt / tau), at least 1 and at most 2^bits: a decay as a fraction of as many bits.

    Args:
        rate: 1 / tau.
        dt: time step.
        bits: of the fraction.

    Returns:
        A, in the shape of the rate.

    Example:
        >>> decay_steps(torch.tensor(100.0), 0.001, bits=8)
        tensor(26.)
    """
    return round_straight_through(torch.clamp(dt * rate * 2.0**bits, 1.0, 2.0**bits))


def membrane_unit(p: Any, dt: float, scale: Tensor, bits: int) -> Tensor:
    """What 1 of the integer membrane stands for: s · A / 2^bits, without a leak s.

    A membrane that takes its input as it is, instead of the part dt / tau of it, is in this unit.

    Args:
        p: the neuron's parameters.
        dt: time step.
        scale: s, what 1 of the weights stands for.
        bits: of the decay's fraction.

    Returns:
        The unit; its gradient isn't followed.

    Example:
        >>> from norse.torch.functional.iaf import IAFParameters
        >>> membrane_unit(IAFParameters(), 0.001, torch.tensor(0.5), bits=12)
        tensor(0.5000)
    """
    if not hasattr(p, "tau_mem_inv"):
        return scale
    return scale * (decay_steps(p.tau_mem_inv, dt, bits) * 2.0**-bits).detach()


def quantize_parameters(p: Any, dt: float, scale: Tensor, bits: int) -> Any:
    """A neuron's parameters with decays dt / tau of A / 2^bits, and potentials that are whole units of the membrane.

    Args:
        p: the parameters of a neuron of `INTEGER_STEPS`.
        dt: time step.
        scale: what 1 of the weights stands for.
        bits: of the decay's fraction.

    Returns:
        Parameters of the same kind.

    Example:
        >>> from norse.torch.functional.lif import LIFParameters
        >>> p = quantize_parameters(LIFParameters(), 0.001, torch.tensor(0.25), bits=4)
        >>> 0.001 * p.tau_mem_inv * 16, p.v_th / (0.25 * 2 / 16)
        (tensor(2.), tensor(32.))
    """
    rates = {name: decay_steps(getattr(p, name), dt, bits) * 2.0**-bits / dt for name in RATES if hasattr(p, name)}
    unit = membrane_unit(p, dt, scale, bits)
    potentials = {
        name: round_straight_through(getattr(p, name) / unit) * unit for name in POTENTIALS if hasattr(p, name)
    }
    return p._replace(**rates, **potentials)


def decay_integer(value: Tensor, kept: Tensor, bits: int) -> Tensor:
    """value · kept / 2^bits, rounded towards zero: what a multiplication and a shift leave of an integer.

    The product is taken in two parts, so it is exact while |value| · 2^(bits / 2) has a place in the dtype's mantissa.

    Args:
        value: integers.
        kept: integers from 0 to 2^bits.
        bits: of the fraction.

    Returns:
        Integers, with the gradient of the unrounded product.

    Example:
        >>> decay_integer(torch.tensor([100.0, -100.0, 1.0]), torch.tensor(3686.0), bits=12)
        tensor([ 89., -89.,   0.])
    """
    half = bits // 2
    high = torch.floor(kept * 2.0**-half)
    low = kept - high * 2.0**half
    size = torch.abs(value)
    whole = torch.floor((size * high + torch.floor(size * low * 2.0**-half)) * 2.0 ** (half - bits))
    product = value * kept * 2.0**-bits
    return product + (torch.sign(value) * whole - product).detach()


def within_bits(value: Tensor, bits: int, overflow: Overflow) -> Tensor:
    """Integers of as many bits, from -2^(bits - 1) to 2^(bits - 1) - 1.

    Args:
        value: integers.
        bits: the sign included.
        overflow: "saturate": what is beyond becomes the nearest, without a gradient; "wrap": higher bits are lost.

    Returns:
        Integers.

    Example:
        >>> x = torch.tensor([7.0, 8.0])
        >>> within_bits(x, 4, "saturate"), within_bits(x, 4, "wrap")
        (tensor([7., 7.]), tensor([ 7., -8.]))
    """
    half = 2.0 ** (bits - 1)
    if overflow == "saturate":
        return torch.clamp(value, -half, half - 1)
    return value - 2 * half * torch.floor((value + half) * (0.5 / half))


def integer_step(
    current: Tensor, state: Any, p: Any, dt: float, scale: Tensor, precision: Precision
) -> tuple[Tensor, Any]:
    """One tick of LIF, LIFBox, LI, LIBox or IAF neurons whose states are integers, as digital chips compute it.

    With X the input in units of the scale s, V and I the membrane and the current in units of s A / 2^d and s (`A`, `B`
    the decays of membrane and synapse, of d bits), V_leak, V_th, V_reset in that unit, and D(y, A) what is left of y,
    y (2^d - A) / 2^d rounded towards zero:

    J = fit(I + X),  U = fit(V_leak + D(V - V_leak, A) + J),  z = Θ(U - V_th),  V' = reset(z, U),  I' = D(J, B)

    and without a synapse J = X, without a leak U = fit(V + X). `fit` saturates or wraps.

    Source: of the multiplication and shift of two decaying integers M. Davies et al., "Loihi: A Neuromorphic Manycore
    Processor with On-Chip Learning", IEEE Micro 38 (2018).

    Args:
        current: the synapses' sum, [B, N] or any shape, rounded to whole units.
        state: v, and i if there is a synapse, in the model's own units.
        p: parameters.
        dt: time step.
        scale: s, what 1 of the weights stands for.
        precision: with bits of decays and states.

    Returns:
        Spikes (of LI and LIBox the membrane potential), and the new state, in the model's own units.

    Example:
        >>> from norse.torch.functional.iaf import IAFFeedForwardState, IAFParameters
        >>> state = IAFFeedForwardState(v=torch.zeros(2))
        >>> bits = Precision(states=4)
        >>> z, state = integer_step(torch.tensor([1.6, 99.0]), state, IAFParameters(v_th=7.0), 1.0, torch.tensor(1.0), bits)
        >>> z, state.v
        (tensor([0., 0.]), tensor([2., 7.]))
    """  # noqa: E501
    d, bits = precision.decays, precision.states
    assert d is not None and bits is not None
    jump = round_straight_through(current / scale)
    unit = membrane_unit(p, dt, scale, d)
    v = round_straight_through(state.v / unit)
    after: dict[str, Tensor] = {}
    if hasattr(p, "tau_syn_inv"):
        jump = within_bits(round_straight_through(state.i / scale) + jump, bits, precision.overflow)
        after["i"] = decay_integer(jump, 2.0**d - decay_steps(p.tau_syn_inv, dt, d), d) * scale
    if hasattr(p, "tau_mem_inv"):
        leak = round_straight_through(p.v_leak / unit)
        v = leak + decay_integer(v - leak, 2.0**d - decay_steps(p.tau_mem_inv, dt, d), d)
    u = within_bits(v + jump, bits, precision.overflow)
    if not hasattr(p, "v_th"):
        return u * unit, state._replace(v=u * unit, **after)
    v_th, v_reset = round_straight_through(p.v_th / unit), round_straight_through(p.v_reset / unit)
    z = threshold((u - v_th) * unit, p.method, p.alpha)
    v = p.reset_method(z, u * unit, v_reset * unit, v_th * unit)
    return z, state._replace(v=v, **after)


class QuantizedStep(NamedTuple):
    """A neuron's step with rounded weights, parameters and, if so, states: `step` with a scale before its parameters.

    Args:
        step: the step in floating point.
        precision: the bits.
        weights: how many weights, the first of the step's, are rounded.

    Example:
        >>> from norse.torch.functional.iaf import IAF_DEFAULTS, IAFFeedForwardState
        >>> step = QuantizedStep(iaf_feed_forward_step, Precision())
        >>> z, _ = step(torch.ones(1), IAFFeedForwardState(v=torch.zeros(1)), torch.tensor(0.25), IAF_DEFAULTS, 0.001)
        >>> z
        tensor([0.])
    """

    step: Callable[..., tuple[Tensor, Any]]
    precision: Precision
    weights: int = 0

    def prepared(self, others: tuple[Any, ...]) -> tuple[Callable[..., tuple[Tensor, Any]], tuple[Any, ...]]:
        """What is the same at every tick, done ahead: the step of a tick, and what it takes after the state."""
        *weights, scale, p, dt = others
        scale = scale.detach()
        if self.precision.decays is not None:
            p = quantize_parameters(p, dt, scale, self.precision.decays)
        for place in range(self.weights):
            weights[place] = quantize_weights(weights[place], scale, self.precision.weights)
        return self.tick, (*weights, scale, p, dt)

    def tick(self, input_tensor: Tensor, state: Any, *others: Any) -> tuple[Tensor, Any]:
        """One tick, of weights and parameters that are rounded already."""
        *weights, scale, p, dt = others
        if self.precision.states is None:
            return self.step(input_tensor, state, *weights, p, dt)
        if len(weights) == 2:
            input_tensor = recurrent_current(input_tensor, state.z, *weights)
            if INTEGER_STEPS[self.step]:
                p = p._replace(reset_method=DetachedReset(p.reset_method))
            z, new = integer_step(input_tensor, state, p, dt, scale, self.precision)
            return z, new._replace(z=z)
        if weights:
            input_tensor = linear(input_tensor, *weights)
        return integer_step(input_tensor, state, p, dt, scale, self.precision)

    def __call__(self, input_tensor: Tensor, state: Any, *others: Any) -> tuple[Tensor, Any]:
        tick, others = self.prepared(others)
        return tick(input_tensor, state, *others)
