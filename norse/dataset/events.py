"""Recorded events as tensors of spikes; Tonic reads the recordings."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

MICROSECONDS = 1e6  # in a second; events' times are in these


class RecordedSpikes(Dataset[tuple[Tensor, int]]):
    """Recordings of one of Tonic's data sets as tensors of spikes.

    Args:
        recordings: takes the module tonic.datasets and gives a data set of (events, label), as for
            `events_to_spikes`.
        channels: number of channels, C.
        dt: time step in s.
        seq_length: ticks of each sequence, which are cut or filled with silence; None leaves each as long as it is.

    Returns:
        `dataset[k]` gives (number of spikes in each time step [T, 1, C] float32, label).

    Raises:
        ImportError: if Tonic is not installed; the message says how to install it.
        ValueError: if dt is not positive or seq_length below 1.
    """

    def __init__(
        self, recordings: Callable[[Any], Any], channels: int, dt: float, seq_length: int | None = None
    ) -> None:
        name = type(self).__name__
        if not dt > 0:
            raise ValueError(f"{name}: argument dt: expects a time step in s above 0, got {dt}")
        if seq_length is not None and seq_length < 1:
            raise ValueError(f"{name}: argument seq_length: expects at least 1 tick or None, got {seq_length}")
        try:
            tonic = import_module("tonic.datasets")
        except ModuleNotFoundError as error:
            raise ImportError(
                f"{name}: its recordings are read with Tonic, and {error}: pip install -e '.[datasets]' in a clone"
            ) from error
        self.channels = channels
        self.dt = dt
        self.seq_length = seq_length
        self.recordings = recordings(tonic)

    def __len__(self) -> int:
        return len(self.recordings)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        events, label = self.recordings[index]
        return events_to_spikes(events, self.channels, self.dt, self.seq_length), int(label)


def events_to_spikes(events: Mapping[str, Any], channels: int, dt: float, seq_length: int | None = None) -> Tensor:
    """Counts events in time steps: entry [k, 0, c] is the number of events of channel c with k dt ≤ t < (k + 1) dt.

    Args:
        events: a structured array or mapping with fields t (µs, at least 0) and x (channel).
        channels: number of channels, C.
        dt: time step in s.
        seq_length: T; later events are left out. None means as many ticks as the events take.

    Returns:
        Spikes, [T, 1, C], float32.

    Example:
        >>> events_to_spikes({"t": [0, 900, 1000, 2500], "x": [1, 1, 0, 2]}, channels=3, dt=0.001)[:, 0]
        tensor([[0., 2., 0.],
                [1., 0., 0.],
                [0., 0., 1.]])
    """
    times, x = np.asarray(events["t"], np.float64), np.asarray(events["x"], np.int64)
    # The small addend keeps an event at k dt in tick k where dt is no binary fraction.
    ticks = np.floor(times / (dt * MICROSECONDS) + 1e-9).astype(np.int64)
    if seq_length is None:
        seq_length = int(ticks.max(initial=-1)) + 1
    kept = ticks < seq_length
    counts = np.bincount(ticks[kept] * channels + x[kept], minlength=seq_length * channels)
    return torch.from_numpy(counts).float().reshape(seq_length, 1, channels)
