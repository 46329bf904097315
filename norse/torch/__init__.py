"""Spiking neural networks on PyTorch: `import norse.torch as snn`, then `snn.LIFRecurrent(128, 256)`."""

from norse.torch import functional, module
from norse.torch.functional import *  # noqa: F403
from norse.torch.functional.heaviside import heaviside
from norse.torch.functional.lift import lift
from norse.torch.module import *  # noqa: F403

__all__ = ["heaviside", "lift"]
__all__ += functional.__all__
__all__ += module.__all__
