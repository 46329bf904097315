"""Spiking neural networks on PyTorch, compiled.

`norse.torch` is the library; `norse.compile` makes a model fast, `norse.to_nir` and `norse.from_nir` take it to chips
and back.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from norse.compiler.eager import eager as eager
    from norse.debugging import compare as compare
    from norse.quantization import quantize as quantize
    from norse.quantization_report import compare_quantized as compare_quantized
    from norse.torch.module.quantized import freeze_quantized as freeze_quantized
    from norse.verbs import check as check
    from norse.verbs import compile as compile
    from norse.verbs import from_nir as from_nir
    from norse.verbs import to_nir as to_nir

__version__ = "2.0.0.dev0"
__all__ = [
    "check",
    "compare",
    "compare_quantized",
    "compile",
    "eager",
    "freeze_quantized",
    "from_nir",
    "quantize",
    "to_nir",
]

_HOME = {
    "compare": "norse.debugging",
    "compare_quantized": "norse.quantization_report",
    "eager": "norse.compiler.eager",
    "freeze_quantized": "norse.torch.module.quantized",
    "quantize": "norse.quantization",
}


def __getattr__(name: str) -> Any:
    """The verbs are imported when they're asked for: `import norse.torch` needs neither compiler nor backends."""
    if name in __all__:
        return getattr(import_module(_HOME.get(name, "norse.verbs")), name)
    raise AttributeError(f"module 'norse' has no attribute {name!r}")
