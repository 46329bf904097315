"""`check`: a network against a chip."""

from typing import Any

from norse.backends.chips.checks import run_checks
from norse.backends.chips.chip import Chip, read_chip, targets
from norse.backends.chips.report import Report, Row
from norse.backends.chips.summary import Network, NirCannotSay, network_of
from norse.backends.nir_export.network import Example


def check(
    model_or_file: Any,
    target: str,
    *,
    example_input: Example | None = None,
    dt: float | None = None,
    reset: str | None = None,
    dialect: str | None = None,
) -> Report:
    """The report on a model, a nir.NIRGraph or a file. See `norse.check`."""
    if target not in targets():
        raise ValueError(f"norse.check: argument target: expects one of {', '.join(targets())}, got {target!r}")
    chip = read_chip(target)
    try:
        network = network_of(model_or_file, example_input, dt, reset=reset, dialect=dialect)
    except NirCannotSay as error:
        return Report(chip.target, chip.name, chip.maker, chip.tool, (Row("nir", "does not fit", str(error)),))
    return compared(network, chip)


def compared(network: Network, chip: Chip) -> Report:
    """The report on a network that has been summarised."""
    told = (network.repairs, network.read_as, network.doubt)
    return Report(chip.target, chip.name, chip.maker, chip.tool, run_checks(network, chip), *told)
