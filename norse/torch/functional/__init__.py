"""The equations: every neuron model's parameters, state and one tick, and what they are made of.

`threshold`, `heaviside` and `lift` are modules here; the functions of those names are inside them.
"""

from norse.torch.functional.encode import poisson_encode, poisson_encode_step
from norse.torch.functional.iaf import IAFFeedForwardState, IAFParameters, IAFState, iaf_feed_forward_step, iaf_step
from norse.torch.functional.leaky_integrator import LIParameters, LIState, li_feed_forward_step, li_step
from norse.torch.functional.leaky_integrator_box import (
    LIBoxParameters,
    LIBoxState,
    li_box_feed_forward_step,
    li_box_step,
)
from norse.torch.functional.lif import (
    LIFFeedForwardState,
    LIFParameters,
    LIFState,
    lif_current_encoder,
    lif_feed_forward_integral,
    lif_feed_forward_step,
    lif_step,
    lif_step_integral,
)
from norse.torch.functional.lif_box import (
    LIFBoxFeedForwardState,
    LIFBoxParameters,
    LIFBoxState,
    lif_box_feed_forward_step,
    lif_box_step,
)
from norse.torch.functional.reset import ResetMethod, reset_subtract, reset_value
from norse.torch.functional.superspike import SuperSpike, super_fn
from norse.torch.functional.threshold import (
    CircDist,
    HeaviCirc,
    HeaviErfc,
    HeaviTanh,
    Logistic,
    Triangle,
    circ_dist_fn,
    heavi_circ_fn,
    heavi_erfc_fn,
    heavi_tanh_fn,
    logistic_fn,
    sign,
    triangle_fn,
)

__all__ = [
    "CircDist",
    "HeaviCirc",
    "HeaviErfc",
    "HeaviTanh",
    "IAFFeedForwardState",
    "IAFParameters",
    "IAFState",
    "LIBoxParameters",
    "LIBoxState",
    "LIFBoxFeedForwardState",
    "LIFBoxParameters",
    "LIFBoxState",
    "LIFFeedForwardState",
    "LIFParameters",
    "LIFState",
    "LIParameters",
    "LIState",
    "Logistic",
    "ResetMethod",
    "SuperSpike",
    "Triangle",
    "circ_dist_fn",
    "heavi_circ_fn",
    "heavi_erfc_fn",
    "heavi_tanh_fn",
    "iaf_feed_forward_step",
    "iaf_step",
    "li_box_feed_forward_step",
    "li_box_step",
    "li_feed_forward_step",
    "li_step",
    "lif_box_feed_forward_step",
    "lif_box_step",
    "lif_current_encoder",
    "lif_feed_forward_integral",
    "lif_feed_forward_step",
    "lif_step",
    "lif_step_integral",
    "logistic_fn",
    "poisson_encode",
    "poisson_encode_step",
    "reset_subtract",
    "reset_value",
    "sign",
    "super_fn",
    "triangle_fn",
]
