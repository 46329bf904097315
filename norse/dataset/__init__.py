"""Data sets of spikes: a made one, and recorded ones through Tonic (`pip install -e '.[datasets]'` in a clone)."""

from norse.dataset.memory import MemoryStoreRecallDataset
from norse.dataset.speech_commands import SpikingSpeechCommandsDataset
from norse.dataset.spiking_heidelberg import SpikingHeidelbergDigitsDataset

__all__ = ["MemoryStoreRecallDataset", "SpikingHeidelbergDigitsDataset", "SpikingSpeechCommandsDataset"]
