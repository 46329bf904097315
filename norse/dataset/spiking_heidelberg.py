"""Spoken digits as spikes of a model of the inner ear."""

import os

from norse.dataset.events import RecordedSpikes

CHANNELS = 700


class SpikingHeidelbergDigitsDataset(RecordedSpikes):
    """The Spiking Heidelberg Digits: 20 spoken digits (10 in English, 10 in German), 700 channels, about 1 s each.

    Tonic downloads and reads the recordings.

    Source: B. Cramer et al., "The Heidelberg spiking data sets for the systematic evaluation of spiking neural
    networks", IEEE Trans. Neural Netw. Learn. Syst. 33 (2022).

    Args:
        root: the folder for the recordings.
        dt: time step in s.
        train: the 8156 recordings for training, or the 2264 for testing.
        seq_length: ticks of each sequence, which are cut or filled with silence; None leaves each as long as it is.

    Returns:
        `dataset[k]` gives (number of spikes in each time step [T, 1, 700] float32, label 0..19).

    Raises:
        ImportError: if Tonic is not installed.
        ValueError: if dt is not positive or seq_length below 1.

    Example:
        Each sample is a batch of one, so samples are put together along dimension 1:

        >>> import torch
        >>> dataset = SpikingHeidelbergDigitsDataset("data", seq_length=100)  # doctest: +SKIP
        >>> samples = [dataset[k] for k in range(8)]  # doctest: +SKIP
        >>> torch.cat([spikes for spikes, _ in samples], dim=1).shape  # doctest: +SKIP
        torch.Size([100, 8, 700])
    """

    def __init__(
        self, root: str | os.PathLike[str], dt: float = 0.001, *, train: bool = True, seq_length: int | None = None
    ) -> None:
        super().__init__(lambda tonic: tonic.SHD(save_to=os.fspath(root), train=train), CHANNELS, dt, seq_length)
