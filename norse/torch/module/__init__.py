"""Cells (one tick) and layers (over time) of neurons, encoders, and ways to chain them."""

from norse.torch.module.encode import PoissonEncoder, PoissonEncoderStep
from norse.torch.module.iaf import IAF, IAFCell, IAFRecurrent, IAFRecurrentCell
from norse.torch.module.leaky_integrator import LI, LICell, LILinearCell
from norse.torch.module.leaky_integrator_box import LIBox, LIBoxCell
from norse.torch.module.lif import LIF, LIFCell, LIFRecurrent, LIFRecurrentCell
from norse.torch.module.lif_box import LIFBox, LIFBoxCell, LIFBoxRecurrent, LIFBoxRecurrentCell
from norse.torch.module.lift import Lift
from norse.torch.module.sequential import RecurrentSequential, RecurrentSequentialState, SequentialState
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell

__all__ = [
    "IAF",
    "LI",
    "LIF",
    "SNN",
    "IAFCell",
    "IAFRecurrent",
    "IAFRecurrentCell",
    "LIBox",
    "LIBoxCell",
    "LICell",
    "LIFBox",
    "LIFBoxCell",
    "LIFBoxRecurrent",
    "LIFBoxRecurrentCell",
    "LIFCell",
    "LIFRecurrent",
    "LIFRecurrentCell",
    "LILinearCell",
    "Lift",
    "PoissonEncoder",
    "PoissonEncoderStep",
    "RecurrentSequential",
    "RecurrentSequentialState",
    "SNNCell",
    "SNNRecurrent",
    "SNNRecurrentCell",
    "SequentialState",
]
