"""What turns numbers into spikes."""

import torch

from norse.torch.functional import encode
from norse.torch.module import encode as encoders

from .calculation import PRE, RATES, SIGNED_RATES, SINGLE, SPIKES, B, Calculation, Draw, T, lif

SCALED = torch.tensor(2.0)

ENCODERS = {
    "constant_current_lif_encode": Calculation(
        lambda v: encode.constant_current_lif_encode(v["x"], T, lif(v)), {"x": Draw((B, PRE), 0, 4)}, dtypes=SINGLE
    ),
    "ConstantCurrentLIFEncoder": Calculation(
        lambda v: encoders.ConstantCurrentLIFEncoder(T, lif(v))(v["x"]), {"x": Draw((B, PRE), 0, 4)}, dtypes=SINGLE
    ),
    "gaussian_rbf": Calculation(lambda v: encode.gaussian_rbf(v["x"], 0.7), {"x": RATES}),
    "euclidean_distance": Calculation(
        lambda v: encode.euclidean_distance(v["x"], v["y"]), {"x": RATES, "y": SIGNED_RATES}
    ),
    "population_encode": Calculation(
        lambda v: encode.population_encode(v["x"], 7, scale=SCALED), {"x": RATES}, dtypes=SINGLE
    ),
    "population_encode, scale of the input": Calculation(
        lambda v: encode.population_encode(v["x"], 7), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "PopulationEncoder": Calculation(
        lambda v: encoders.PopulationEncoder(7, scale=SCALED)(v["x"]), {"x": RATES}, dtypes=SINGLE
    ),
    "poisson_encode": Calculation(
        lambda v: encode.poisson_encode(v["x"], T), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "poisson_encode_step": Calculation(
        lambda v: encode.poisson_encode_step(v["x"]), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "signed_poisson_encode": Calculation(
        lambda v: encode.signed_poisson_encode(v["x"].detach(), T), {"x": SIGNED_RATES}, dtypes=SINGLE, backward=False
    ),
    "signed_poisson_encode_step": Calculation(
        lambda v: encode.signed_poisson_encode_step(v["x"].detach()), {"x": SIGNED_RATES}, dtypes=SINGLE, backward=False
    ),
    "PoissonEncoder": Calculation(
        lambda v: encoders.PoissonEncoder(T, f_max=300)(v["x"]), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "PoissonEncoderStep": Calculation(
        lambda v: encoders.PoissonEncoderStep(f_max=300)(v["x"]), {"x": RATES}, dtypes=SINGLE, backward=False
    ),
    "SignedPoissonEncoder": Calculation(
        lambda v: encoders.SignedPoissonEncoder(T, f_max=300)(v["x"].detach()),
        {"x": SIGNED_RATES},
        dtypes=SINGLE,
        backward=False,
    ),
    "SignedPoissonEncoderStep": Calculation(
        lambda v: encoders.SignedPoissonEncoderStep(f_max=300)(v["x"].detach()),
        {"x": SIGNED_RATES},
        dtypes=SINGLE,
        backward=False,
    ),
    "spike_latency_encode": Calculation(lambda v: encode.spike_latency_encode(v["x"]), {"x": SPIKES}, backward=False),
    "SpikeLatencyEncoder": Calculation(lambda v: encoders.SpikeLatencyEncoder()(v["x"]), {"x": SPIKES}, backward=False),
    "spike_latency_lif_encode": Calculation(
        lambda v: encode.spike_latency_lif_encode(v["x"], T, lif(v)), {"x": Draw((B, PRE), 0, 4)}, backward=False
    ),
    "SpikeLatencyLIFEncoder": Calculation(
        lambda v: encoders.SpikeLatencyLIFEncoder(T, lif(v))(v["x"]), {"x": Draw((B, PRE), 0, 4)}, backward=False
    ),
}
