"""Cells (one tick) and layers (over time) of neurons, encoders, filters, plasticity, and ways to chain them."""

from norse.torch.module.coba_lif import (
    CobaLIFCell,
    CobaLIFFeedForward,
    CobaLIFFeedForwardCell,
    CobaLIFRecurrent,
    CobaLIFRecurrentCell,
)
from norse.torch.module.conv import LConv2d
from norse.torch.module.delay import SynapseDelay, SynapseDelayCell
from norse.torch.module.encode import (
    ConstantCurrentLIFEncoder,
    PoissonEncoder,
    PoissonEncoderStep,
    PopulationEncoder,
    SignedPoissonEncoder,
    SignedPoissonEncoderStep,
    SpikeLatencyEncoder,
    SpikeLatencyLIFEncoder,
)
from norse.torch.module.exp_filter import ExpFilter
from norse.torch.module.iaf import IAF, IAFCell, IAFRecurrent, IAFRecurrentCell
from norse.torch.module.izhikevich import Izhikevich, IzhikevichCell, IzhikevichRecurrent, IzhikevichRecurrentCell
from norse.torch.module.leaky_integrator import LI, LICell, LILinear, LILinearCell
from norse.torch.module.leaky_integrator_box import LIBox, LIBoxCell
from norse.torch.module.lif import LIF, LIFCell, LIFRecurrent, LIFRecurrentCell
from norse.torch.module.lif_adex import LIFAdEx, LIFAdExCell, LIFAdExRecurrent, LIFAdExRecurrentCell
from norse.torch.module.lif_adex_refrac import (
    LIFAdExRefrac,
    LIFAdExRefracCell,
    LIFAdExRefracRecurrent,
    LIFAdExRefracRecurrentCell,
)
from norse.torch.module.lif_box import LIFBox, LIFBoxCell, LIFBoxRecurrent, LIFBoxRecurrentCell
from norse.torch.module.lif_correlation import LIFCorrelation, LIFCorrelationRecurrent, LIFCorrelationRecurrentCell
from norse.torch.module.lif_ex import LIFEx, LIFExCell, LIFExRecurrent, LIFExRecurrentCell
from norse.torch.module.lif_mc import LIFMC, LIFMCCell, LIFMCRecurrent, LIFMCRecurrentCell
from norse.torch.module.lif_mc_refrac import (
    LIFMCRefrac,
    LIFMCRefracCell,
    LIFMCRefracRecurrent,
    LIFMCRefracRecurrentCell,
)
from norse.torch.module.lif_refrac import LIFRefrac, LIFRefracCell, LIFRefracRecurrent, LIFRefracRecurrentCell
from norse.torch.module.lift import Lift
from norse.torch.module.lsnn import LSNN, LSNNCell, LSNNRecurrent, LSNNRecurrentCell
from norse.torch.module.quantized import (
    QuantizedConv1d,
    QuantizedConv2d,
    QuantizedLinear,
    QuantizedWeights,
    quantized_weights,
)
from norse.torch.module.receptive_field import (
    ParameterizedSpatialReceptiveField2d,
    SampledSpatialReceptiveField2d,
    SpatialReceptiveField2d,
    TemporalReceptiveField,
)
from norse.torch.module.regularization import RegularizationCell
from norse.torch.module.sequential import RecurrentSequential, RecurrentSequentialState, SequentialState
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell
from norse.torch.module.spikes_to_times_decoder import SpikesToTimesDecoder
from norse.torch.module.threshold import Threshold

__all__ = [
    "IAF",
    "LI",
    "LIF",
    "LIFMC",
    "LSNN",
    "SNN",
    "CobaLIFCell",
    "CobaLIFFeedForward",
    "CobaLIFFeedForwardCell",
    "CobaLIFRecurrent",
    "CobaLIFRecurrentCell",
    "ConstantCurrentLIFEncoder",
    "ExpFilter",
    "IAFCell",
    "IAFRecurrent",
    "IAFRecurrentCell",
    "Izhikevich",
    "IzhikevichCell",
    "IzhikevichRecurrent",
    "IzhikevichRecurrentCell",
    "LConv2d",
    "LIBox",
    "LIBoxCell",
    "LICell",
    "LIFAdEx",
    "LIFAdExCell",
    "LIFAdExRecurrent",
    "LIFAdExRecurrentCell",
    "LIFAdExRefrac",
    "LIFAdExRefracCell",
    "LIFAdExRefracRecurrent",
    "LIFAdExRefracRecurrentCell",
    "LIFBox",
    "LIFBoxCell",
    "LIFBoxRecurrent",
    "LIFBoxRecurrentCell",
    "LIFCell",
    "LIFCorrelation",
    "LIFCorrelationRecurrent",
    "LIFCorrelationRecurrentCell",
    "LIFEx",
    "LIFExCell",
    "LIFExRecurrent",
    "LIFExRecurrentCell",
    "LIFMCCell",
    "LIFMCRecurrent",
    "LIFMCRecurrentCell",
    "LIFMCRefrac",
    "LIFMCRefracCell",
    "LIFMCRefracRecurrent",
    "LIFMCRefracRecurrentCell",
    "LIFRecurrent",
    "LIFRecurrentCell",
    "LIFRefrac",
    "LIFRefracCell",
    "LIFRefracRecurrent",
    "LIFRefracRecurrentCell",
    "LILinear",
    "LILinearCell",
    "LSNNCell",
    "LSNNRecurrent",
    "LSNNRecurrentCell",
    "Lift",
    "ParameterizedSpatialReceptiveField2d",
    "PoissonEncoder",
    "PoissonEncoderStep",
    "PopulationEncoder",
    "QuantizedConv1d",
    "QuantizedConv2d",
    "QuantizedLinear",
    "QuantizedWeights",
    "RecurrentSequential",
    "RecurrentSequentialState",
    "RegularizationCell",
    "SNNCell",
    "SNNRecurrent",
    "SNNRecurrentCell",
    "SampledSpatialReceptiveField2d",
    "SequentialState",
    "SignedPoissonEncoder",
    "SignedPoissonEncoderStep",
    "SpatialReceptiveField2d",
    "SpikeLatencyEncoder",
    "SpikeLatencyLIFEncoder",
    "SpikesToTimesDecoder",
    "SynapseDelay",
    "SynapseDelayCell",
    "TemporalReceptiveField",
    "Threshold",
    "quantized_weights",
]
