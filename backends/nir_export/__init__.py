"""IR <-> NIR, the exchange format of neuromorphic tools: `to_nir` writes a model, `from_nir` makes one.

Source: J. E. Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 15, 8122 (2024).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from norse.backends.nir_export.build import from_nir as from_nir
    from norse.backends.nir_export.export import to_nir as to_nir
    from norse.backends.nir_export.inspect import Description as Description
    from norse.backends.nir_export.inspect import NodeDescription as NodeDescription
    from norse.backends.nir_export.inspect import describe as describe
    from norse.backends.nir_export.several_spikes import SeveralIAFCell as SeveralIAFCell
    from norse.backends.nir_export.several_spikes import SeveralLIFBoxCell as SeveralLIFBoxCell
    from norse.backends.nir_export.several_spikes import SeveralLIFCell as SeveralLIFCell
    from norse.backends.nir_export.verify import Verification as Verification

_HOME = {
    "Description": "inspect",
    "NodeDescription": "inspect",
    "SeveralIAFCell": "several_spikes",
    "SeveralLIFBoxCell": "several_spikes",
    "SeveralLIFCell": "several_spikes",
    "Verification": "verify",
    "describe": "inspect",
    "from_nir": "build",
    "to_nir": "export",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Imported when asked for: the names of dialects, which the command line shows, need no torch."""
    if name in _HOME:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
