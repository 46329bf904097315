"""Steps whose gradients are those of spike times, without a surrogate (EventProp): each neuron's adjoint equations."""

from norse.torch.functional.adjoint.coba_lif_adjoint import coba_lif_adjoint_step, coba_lif_feed_forward_adjoint_step
from norse.torch.functional.adjoint.lif_adjoint import (
    LIFFeedForwardAdjointFunction,
    LIFFeedForwardSparseAdjointFunction,
    lif_adjoint_step,
    lif_adjoint_step_sparse,
    lif_feed_forward_adjoint_step,
    lif_feed_forward_adjoint_step_sparse,
)
from norse.torch.functional.adjoint.lif_mc_adjoint import lif_mc_adjoint_step, lif_mc_feed_forward_adjoint_step
from norse.torch.functional.adjoint.lif_mc_refrac_adjoint import (
    lif_mc_refrac_adjoint,
    lif_mc_refrac_feed_forward_adjoint,
)
from norse.torch.functional.adjoint.lif_refrac_adjoint import (
    LIFAdjointRefracFeedForwardFunction,
    lif_refrac_adjoint_step,
    lif_refrac_adjoint_step_sparse,
    lif_refrac_feed_forward_adjoint_step,
)
from norse.torch.functional.adjoint.lsnn_adjoint import (
    LSNNFeedForwardAdjointFunction,
    lsnn_adjoint_step,
    lsnn_feed_forward_adjoint_step,
)

__all__ = [
    "LIFAdjointRefracFeedForwardFunction",
    "LIFFeedForwardAdjointFunction",
    "LIFFeedForwardSparseAdjointFunction",
    "LSNNFeedForwardAdjointFunction",
    "coba_lif_adjoint_step",
    "coba_lif_feed_forward_adjoint_step",
    "lif_adjoint_step",
    "lif_adjoint_step_sparse",
    "lif_feed_forward_adjoint_step",
    "lif_feed_forward_adjoint_step_sparse",
    "lif_mc_adjoint_step",
    "lif_mc_feed_forward_adjoint_step",
    "lif_mc_refrac_adjoint",
    "lif_mc_refrac_feed_forward_adjoint",
    "lif_refrac_adjoint_step",
    "lif_refrac_adjoint_step_sparse",
    "lif_refrac_feed_forward_adjoint_step",
    "lsnn_adjoint_step",
    "lsnn_feed_forward_adjoint_step",
]
