"""Data sets of spikes: one that is made, and recorded ones through Tonic (`pip install norse[datasets]`)."""

from norse.dataset.memory import MemoryStoreRecallDataset
from norse.dataset.speech_commands import SpikingSpeechCommandsDataset
from norse.dataset.spiking_heidelberg import SpikingHeidelbergDigitsDataset

__all__ = ["MemoryStoreRecallDataset", "SpikingHeidelbergDigitsDataset", "SpikingSpeechCommandsDataset"]
