"""Pair-based spike-timing-dependent plasticity: weights follow the order of pre- and postsynaptic spikes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.grad import conv2d_weight

from norse.torch.functional.heaviside import heaviside

WEIGHT_DEPENDENCE: dict[str, Callable[[Tensor, Tensor | float], Tensor]] = {
    "additive": lambda room, mu: torch.ones_like(room),
    "additive_step": lambda room, mu: heaviside(room),
    "multiplicative_pow": lambda room, mu: room**mu,
    "multiplicative_relu": lambda room, mu: torch.relu(room),
}
"""What an STDP algorithm makes of the room that is left between a weight and its bound: A = η f(room, μ)."""

DRIVE = torch.tensor(1.0)  # what a spike drives its trace towards, dimensionless
RATE = torch.tensor(20.0)  # of a trace's decay, 1/s: a window of 50 ms


class STDPState:
    """The traces of STDP: how much each neuron fired lately.

    An ordinary object, which the steps update and return.

    Args:
        t_pre: trace of the presynaptic spikes, [B, pre] or [B, C_in, H, W]; zeros of any shape that broadcasts will do.
        t_post: trace of the postsynaptic spikes, [B, post] or [B, C_out, H', W'], likewise.

    Example:
        >>> STDPState(t_pre=torch.zeros(1, 2), t_post=torch.zeros(1, 1))
        STDPState(t_pre=tensor([[0., 0.]]), t_post=tensor([[0.]]))
    """

    def __init__(self, t_pre: Tensor, t_post: Tensor) -> None:
        self.t_pre = t_pre
        self.t_post = t_post

    def __repr__(self) -> str:
        return f"STDPState(t_pre={self.t_pre}, t_post={self.t_post})"

    def decay(
        self,
        z_pre: Tensor,
        z_post: Tensor,
        tau_pre_inv: Tensor | float,
        tau_post_inv: Tensor | float,
        a_pre: Tensor | float,
        a_post: Tensor | float,
        dt: float = 0.001,
    ) -> None:
        """Moves both traces on by one tick: t ← t + dt τ⁻¹ (-t + a z).

        Args:
            z_pre: presynaptic spikes, in the shape of t_pre.
            z_post: postsynaptic spikes, in the shape of t_post.
            tau_pre_inv: inverse time constant of t_pre, 1/s.
            tau_post_inv: inverse time constant of t_post, 1/s.
            a_pre: what a presynaptic spike drives t_pre towards, dimensionless.
            a_post: what a postsynaptic spike drives t_post towards, dimensionless.
            dt: time step in s.

        Example:
            >>> state = STDPState(t_pre=torch.ones(1), t_post=torch.zeros(1))
            >>> state.decay(torch.zeros(1), torch.ones(1), 20.0, 20.0, 1.0, 1.0)
            >>> state
            STDPState(t_pre=tensor([0.9800]), t_post=tensor([0.0200]))
        """
        self.t_pre = self.t_pre + dt * tau_pre_inv * (-self.t_pre + a_pre * z_pre)
        self.t_post = self.t_post + dt * tau_post_inv * (-self.t_post + a_post * z_post)


@dataclass(eq=False)
class STDPParameters:
    """Parameters of STDP: the traces' time constants, and how far a pair of spikes moves a weight.

    With `room` for what is left to the bound, w_max - w for A₊ and w - w_min for A₋, the algorithms are

    - "additive": A = η
    - "additive_step": A = η Θ(room)
    - "multiplicative_pow": A = η room^μ; not a number for a weight beyond its bounds, unless μ is whole
    - "multiplicative_relu": A = η relu(room)

    Source: S. Song, K. D. Miller, L. F. Abbott, "Competitive Hebbian learning through spike-timing-dependent synaptic
    plasticity", Nat. Neurosci. 3 (2000) for the additive rule; R. Gütig et al., "Learning input correlations through
    nonlinear temporally asymmetric Hebbian plasticity", J. Neurosci. 23 (2003) for powers.

    Args:
        a_pre: what a presynaptic spike drives its trace towards, dimensionless.
        a_post: what a postsynaptic spike drives its trace towards, dimensionless.
        tau_pre_inv: inverse time constant of the presynaptic trace, 1/s.
        tau_post_inv: inverse time constant of the postsynaptic trace, 1/s.
        w_min: lower bound of the weights.
        w_max: upper bound of the weights.
        eta_plus: η of A₊, the learning rate of pairs "pre before post".
        eta_minus: η of A₋, the learning rate of pairs "post before pre".
        stdp_algorithm: how A depends on the weight, see above.
        mu: the exponent μ of "multiplicative_pow".
        hardbound: whether updated weights are clamped to [w_min, w_max].
        convolutional: whether the parameters are meant for a convolution. A note for the reader: what is computed
            depends on the step that is called.
        stride: the convolution's stride, here and below a number or a pair of numbers; only of `stdp_step_conv2d`.
        padding: its padding.
        dilation: its dilation.

    Raises:
        ValueError: if there is no algorithm of that name.

    Example:
        >>> p = STDPParameters(eta_plus=0.1, stdp_algorithm="multiplicative_relu")
        >>> p.A_plus(torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.1000, 0.0500, 0.0000])
    """

    a_pre: Tensor | float = DRIVE
    a_post: Tensor | float = DRIVE
    tau_pre_inv: Tensor | float = RATE
    tau_post_inv: Tensor | float = RATE
    w_min: Tensor | float = 0.0
    w_max: Tensor | float = 1.0
    eta_plus: Tensor | float = 0.001
    eta_minus: Tensor | float = 0.001
    stdp_algorithm: str = "additive"
    mu: Tensor | float = 0.0
    hardbound: bool = True
    convolutional: bool = False
    stride: int | tuple[int, int] = 1
    padding: int | tuple[int, int] = 0
    dilation: int | tuple[int, int] = 1

    def __post_init__(self) -> None:
        if self.stdp_algorithm not in WEIGHT_DEPENDENCE:
            raise ValueError(
                f"STDPParameters: argument stdp_algorithm: expects one of {', '.join(WEIGHT_DEPENDENCE)}, "
                f"got {self.stdp_algorithm!r}"
            )

    def A_plus(self, w: Tensor) -> Tensor:
        """A₊(w): how far a pair "pre before post" strengthens weights, in the shape of w."""
        return self.eta_plus * WEIGHT_DEPENDENCE[self.stdp_algorithm](self.w_max - w, self.mu)

    def A_minus(self, w: Tensor) -> Tensor:
        """A₋(w): how far a pair "post before pre" weakens weights, in the shape of w."""
        return self.eta_minus * WEIGHT_DEPENDENCE[self.stdp_algorithm](w - self.w_min, self.mu)

    def bounding_func(self, w: Tensor) -> Tensor:
        """w clamped to [w_min, w_max] if hardbound, else w."""
        if not self.hardbound:
            return w
        return torch.clamp(torch.clamp(w, min=self.w_min), max=self.w_max)  # one bound may be a tensor, one a number


STDP_DEFAULTS = STDPParameters()


def stdp_step_linear(
    z_pre: Tensor,
    z_post: Tensor,
    w: Tensor,
    state_stdp: STDPState,
    p_stdp: STDPParameters = STDP_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, STDPState]:
    """One tick of STDP for the weights of a linear layer (forward Euler).

    The traces t come first, so that spikes of the same tick make pairs too; then the weights, summed over the batch b:

    t' = t + dt τ⁻¹ (-t + a z), for pre and post,
    w' = w + A₊(w) Σ_b z_post t'_pre - A₋(w) Σ_b t'_post z_pre, clamped to [w_min, w_max] if hardbound

    A post spike n ticks after a pre spike thus adds A₊ dt τ⁻¹ a (1 - dt τ⁻¹)ⁿ, the exponential window of STDP.

    Source: A. Morrison, M. Diesmann, W. Gerstner, "Phenomenological models of synaptic plasticity based on spike
    timing", Biol. Cybern. 98 (2008).

    Args:
        z_pre: presynaptic spikes, [B, pre].
        z_post: postsynaptic spikes, [B, post].
        w: weights, [post, pre].
        state_stdp: the traces; this object is updated.
        p_stdp: parameters.
        dt: time step in s.

    Returns:
        The new weights [post, pre], and state_stdp.

    Raises:
        ValueError: if the shapes don't fit.

    Example:
        >>> state, w = STDPState(t_pre=torch.zeros(1, 2), t_post=torch.zeros(1, 1)), torch.full((1, 2), 0.5)
        >>> pre_only, post_only = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0]])
        >>> w, state = stdp_step_linear(pre_only, 0 * post_only, w, state, STDPParameters(eta_plus=1.0))
        >>> w, state = stdp_step_linear(0 * pre_only, post_only, w, state, STDPParameters(eta_plus=1.0))
        >>> w
        tensor([[0.5196, 0.5000]])
    """
    _check_shape("stdp_step_linear", "z_pre", z_pre, (None, w.shape[-1]))
    _check_shape("stdp_step_linear", "z_post", z_post, (z_pre.shape[0], w.shape[0]))
    _check_trace("stdp_step_linear", "t_pre", state_stdp.t_pre, z_pre)
    _check_trace("stdp_step_linear", "t_post", state_stdp.t_post, z_post)
    _decay(state_stdp, z_pre, z_post, p_stdp, dt)
    potentiation = z_post.T @ state_stdp.t_pre
    depression = state_stdp.t_post.T @ z_pre
    return _updated(w, potentiation, depression, p_stdp), state_stdp


def stdp_step_conv2d(
    z_pre: Tensor,
    z_post: Tensor,
    w: Tensor,
    state_stdp: STDPState,
    p_stdp: STDPParameters = STDP_DEFAULTS,
    dt: float = 0.001,
) -> tuple[Tensor, STDPState]:
    """One tick of STDP for the weights of a two-dimensional convolution (forward Euler).

    As `stdp_step_linear`, where a weight's pairs are those of all places q at which the convolution uses it:

    w'[o, c, k] = w + A₊(w) Σ_b,q z_post[o, q] t'_pre[c, r] - A₋(w) Σ_b,q t'_post[o, q] z_pre[c, r],  r = s q + d k - p

    with stride s, padding p and dilation d of p_stdp, then clamped as there. On CUDA these sums are convolutions, with
    cuDNN's precision.

    Source: A. Morrison, M. Diesmann, W. Gerstner, "Phenomenological models of synaptic plasticity based on spike
    timing", Biol. Cybern. 98 (2008).

    Args:
        z_pre: presynaptic spikes, [B, C_in, H, W].
        z_post: postsynaptic spikes, [B, C_out, H', W'], as large as the convolution's output.
        w: weights, [C_out, C_in, kh, kw].
        state_stdp: the traces; this object is updated.
        p_stdp: parameters, stride, padding and dilation among them.
        dt: time step in s.

    Returns:
        The new weights [C_out, C_in, kh, kw], and state_stdp.

    Raises:
        ValueError: if the shapes don't fit.

    Example:
        >>> z_pre, z_post, w = torch.ones(8, 2, 5, 5), torch.ones(8, 3, 3, 3), torch.zeros(3, 2, 3, 3)
        >>> state = STDPState(t_pre=torch.zeros(8, 2, 5, 5), t_post=torch.zeros(8, 3, 3, 3))
        >>> p = STDPParameters(eta_plus=0.01, eta_minus=0.0, convolutional=True)
        >>> w, state = stdp_step_conv2d(z_pre, z_post, w, state, p)
        >>> w[0, 0, 0]
        tensor([0.0144, 0.0144, 0.0144])
    """
    _check_shape("stdp_step_conv2d", "w", w, (None, None, None, None))
    _check_shape("stdp_step_conv2d", "z_pre", z_pre, (None, w.shape[1], None, None))
    size = [_places(axis, z_pre, w, p_stdp) for axis in (0, 1)]
    _check_shape("stdp_step_conv2d", "z_post", z_post, (z_pre.shape[0], w.shape[0], *size))
    _check_trace("stdp_step_conv2d", "t_pre", state_stdp.t_pre, z_pre)
    _check_trace("stdp_step_conv2d", "t_post", state_stdp.t_post, z_post)
    _decay(state_stdp, z_pre, z_post, p_stdp, dt)
    # Σ_b,q post[o, q] pre[c, s q + d k - p] is the gradient of a convolution of `pre` with respect to its weights.
    geometry = (p_stdp.stride, p_stdp.padding, p_stdp.dilation)
    potentiation = conv2d_weight(state_stdp.t_pre, w.shape, z_post, *geometry)
    depression = conv2d_weight(z_pre, w.shape, state_stdp.t_post, *geometry)
    return _updated(w, potentiation, depression, p_stdp), state_stdp


def _decay(state: STDPState, z_pre: Tensor, z_post: Tensor, p: STDPParameters, dt: float) -> None:
    state.decay(z_pre, z_post, p.tau_pre_inv, p.tau_post_inv, p.a_pre, p.a_post, dt)


def _updated(w: Tensor, potentiation: Tensor, depression: Tensor, p: STDPParameters) -> Tensor:
    return p.bounding_func(w + (p.A_plus(w) * potentiation - p.A_minus(w) * depression))


def _places(axis: int, z_pre: Tensor, w: Tensor, p: STDPParameters) -> int:
    """How many places the convolution has along height (axis 0) or width (axis 1)."""
    stride, padding, dilation = (
        value if isinstance(value, int) else value[axis] for value in (p.stride, p.padding, p.dilation)
    )
    return (z_pre.shape[2 + axis] + 2 * padding - dilation * (w.shape[2 + axis] - 1) - 1) // stride + 1


def _check_shape(step: str, name: str, value: Tensor, expected: tuple[int | None, ...]) -> None:
    if value.dim() != len(expected) or any(n not in (None, m) for n, m in zip(expected, value.shape, strict=True)):
        shape = ", ".join("*" if n is None else str(n) for n in expected)
        raise ValueError(f"{step}: argument {name}: expects shape [{shape}], got {list(value.shape)}")


def _check_trace(step: str, name: str, trace: Tensor, z: Tensor) -> None:
    ends = zip(reversed(trace.shape), reversed(z.shape), strict=False)
    if trace.dim() > z.dim() or any(n not in (1, m) for n, m in ends):
        raise ValueError(
            f"{step}: argument state_stdp.{name}: expects a shape that broadcasts to {list(z.shape)}, "
            f"got {list(trace.shape)}"
        )
