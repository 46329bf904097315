"""Spoken commands as spikes of a model of the inner ear."""

import os
from typing import Literal

from norse.dataset.events import RecordedSpikes

CHANNELS = 700
SPLITS = ("train", "valid", "test")


class SpikingSpeechCommandsDataset(RecordedSpikes):
    """The Spiking Speech Commands: 35 spoken words of many speakers, 700 channels, 1 s each.

    Tonic downloads and reads the recordings.

    Source: B. Cramer et al., "The Heidelberg spiking data sets for the systematic evaluation of spiking neural
    networks", IEEE Trans. Neural Netw. Learn. Syst. 33 (2022), from P. Warden, "Speech commands", arXiv:1804.03209.

    Args:
        root: the folder for the recordings.
        dt: time step in s.
        split: "train", "valid" or "test".
        seq_length: ticks of each sequence, which are cut or filled with silence; None leaves each as long as it is.

    Returns:
        `dataset[k]` gives (number of spikes in each time step [T, 1, 700] float32, label 0..34).

    Raises:
        ImportError: if Tonic is not installed.
        ValueError: if there is no such split, dt is not positive or seq_length below 1.

    Example:
        >>> dataset = SpikingSpeechCommandsDataset("data", split="valid", seq_length=100)  # doctest: +SKIP
        >>> dataset[0][0].shape  # doctest: +SKIP
        torch.Size([100, 1, 700])
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        dt: float = 0.001,
        *,
        split: Literal["train", "valid", "test"] = "train",
        seq_length: int | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"{type(self).__name__}: argument split: expects one of {', '.join(SPLITS)}, got {split}")
        super().__init__(lambda tonic: tonic.SSC(save_to=os.fspath(root), split=split), CHANNELS, dt, seq_length)
