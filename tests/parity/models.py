"""The modules that are compared, built from names that both libraries have, each in the Python that has it."""

from .adaptive import ADAPTIVE
from .adjoint import ADJOINT_AND_SPARSE
from .biophysical import BIOPHYSICAL
from .integrate_and_fire import INTEGRATE_AND_FIRE
from .networks import NETWORKS

MODELS = INTEGRATE_AND_FIRE | ADAPTIVE | BIOPHYSICAL | ADJOINT_AND_SPARSE | NETWORKS
