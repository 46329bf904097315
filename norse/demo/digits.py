"""The data: handwritten digits of 8 x 8 pixels, shown to the network as spike trains."""

from dataclasses import dataclass

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

import norse.torch as snn

PIXELS, CLASSES = 64, 10
WHITE = 16  # the value of a white pixel in this data set

# 100 ticks of 1 ms; a white pixel spikes at 600 Hz, in 6 of 10 ticks, a black one never.
encode = snn.PoissonEncoder(seq_length=100, f_max=600)


@dataclass(frozen=True)
class Digits:
    """Images [samples, 64] with brightnesses in 0..1, and their labels [samples]."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load(samples: int | None, seed: int) -> Digits:
    """A fifth of the digits is kept for the test; `samples` takes only so many of all (None: the whole 1797)."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images / WHITE, dtype=torch.float32)[:samples]
    labels = torch.tensor(labels)[:samples]
    parts = train_test_split(images, labels, test_size=0.2, stratify=labels, random_state=seed)
    train_images, test_images, train_labels, test_labels = parts
    return Digits(train_images, train_labels, test_images, test_labels)
