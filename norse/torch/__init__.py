"""Spiking neural networks on PyTorch: `import norse.torch as snn`, then `snn.LIFRecurrent(128, 256)`."""

from norse.torch import functional, models, module
from norse.torch.functional import *  # noqa: F403
from norse.torch.functional.heaviside import heaviside
from norse.torch.functional.lift import lift
from norse.torch.models import *  # noqa: F403
from norse.torch.module import *  # noqa: F403
from norse.torch.utils import plot, tensorboard
from norse.torch.utils.export_nir import to_nir
from norse.torch.utils.import_nir import from_nir
from norse.torch.utils.plot import *  # noqa: F403
from norse.torch.utils.tensorboard import *  # noqa: F403

__all__ = ["from_nir", "heaviside", "lift", "to_nir"]
__all__ += functional.__all__
__all__ += models.__all__
__all__ += module.__all__
__all__ += plot.__all__
__all__ += tensorboard.__all__
