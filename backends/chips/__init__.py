"""Whether a network fits a neuromorphic chip: its limits are data, with the source of every number."""

from norse.backends.chips.check import check, compared
from norse.backends.chips.chip import Chip, Limit, Source, read_chip, targets
from norse.backends.chips.report import Report, Row
from norse.backends.chips.summary import Layer, Network, network_of

__all__ = [
    "Chip",
    "Layer",
    "Limit",
    "Network",
    "Report",
    "Row",
    "Source",
    "check",
    "compared",
    "network_of",
    "read_chip",
    "targets",
]
