"""The way to a chip by a file: what the dialect of the chip's own tool can't say, though the chip has it."""

from norse.backends.chips.chip import Chip
from norse.backends.chips.summary import Layer
from norse.backends.nir_export.dialects import DIALECTS, Dialect


def unsayable(primitive: str, chip: Chip) -> str:
    """Why no file brings this primitive to the chip, and what to do; "" where one does, or there is no dialect."""
    dialect = _dialect(chip)
    if dialect is None or primitive in {kind.__name__ for kind in (*dialect.takes, *dialect.write)}:
        return ""
    instead = {kind.__name__: remedy for kind, remedy in dialect.instead.items()}.get(primitive, "leave it out")
    return f'the chip has it, but files for {dialect.tool} (dialect="{chip.dialect}") can\'t say it; {instead}'


def unsayable_reset(layer: Layer, chip: Chip) -> str:
    """Why no file brings this reset to the chip; "" where one does, or there is no dialect."""
    dialect = _dialect(chip)
    if dialect is None or dialect.accepts(layer.reset_by) or layer.primitive not in chip.limits["primitives"].value:
        return ""
    lowered = dialect.reset != "zero"
    said = "neurons that fall by the threshold" if lowered else "neurons that are set to v_reset"
    by = "reset_value" if not lowered else "reset_subtract_bounded" if _is_held(layer, chip) else "reset_subtract"
    return (
        f'the chip has it with the vendor\'s tools, but files for {dialect.tool} (dialect="{chip.dialect}") say '
        f"{said} alone; reset_method={by} is written"
    )


def _is_held(layer: Layer, chip: Chip) -> bool:
    return "lower_bound" in chip.limits and is_bounded_by_reset(layer, chip)


def is_bounded_by_reset(layer: Layer, chip: Chip) -> bool:
    """Whether neurons of this primitive get the chip's lower bound from reset_method=reset_subtract_bounded."""
    dialect = _dialect(chip)
    return dialect is None or layer.primitive in {kind.__name__ for kind in dialect.bounded}


def _dialect(chip: Chip) -> Dialect | None:
    return DIALECTS[chip.dialect] if chip.dialect else None
