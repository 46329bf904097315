"""IR <-> NIR, the exchange format of neuromorphic tools: `to_nir` writes a model, `from_nir` makes one.

Source: J. E. Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 15, 8122 (2024).
"""

from norse.backends.nir_export.build import from_nir
from norse.backends.nir_export.export import to_nir
from norse.backends.nir_export.inspect import Description, NodeDescription, describe
from norse.backends.nir_export.verify import Verification

__all__ = ["Description", "NodeDescription", "Verification", "describe", "from_nir", "to_nir"]
