"""The store-recall task: remember a bit until it is asked for."""

import torch
from torch import Tensor
from torch.utils.data import Dataset


class MemoryStoreRecallDataset(Dataset[tuple[Tensor, Tensor]]):
    """Sequences in which a bit is to be stored at one command and given back at another.

    A sequence has seq_repetitions trials of seq_periods periods of seq_length ticks. In every period one of two
    populations of neurons fires: it shows a random bit. In one period of a trial's first half the store command's
    population fires too. In one of its second half the recall command's population fires, and no bit is shown: the
    bit of the store command is the target there. Spikes are Poisson: of the bits' populations at poisson_rate, of the
    commands' at half of it.

    Source: G. Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking neurons",
    NeurIPS 2018, suppl. "store-recall task".

    Args:
        samples: number of sequences.
        seq_length: ticks a period.
        seq_periods: periods a trial, at least 2.
        seq_repetitions: trials a sequence.
        population_size: neurons a population; there are four of them: bit 0, bit 1, store, recall.
        poisson_rate: of the bits' populations, in Hz.
        dt: time step in s.
        seed: of everything random; None takes one from torch's generator. Sequence k is the same whenever it is read.

    Returns:
        `dataset[k]` gives (spikes [T, 4 · population_size] float32, targets [periods, 2] uint8), with
        T = periods · seq_length and periods = seq_periods · seq_repetitions. A target row is one-hot in the bit at a
        recall command and 0 elsewhere.

    Raises:
        ValueError: if a number is not positive, or seq_periods below 2.

    Example:
        >>> dataset = MemoryStoreRecallDataset(samples=10, seed=1)
        >>> spikes, targets = dataset[0]
        >>> len(dataset), spikes.shape, targets.shape, int(targets.sum())
        (10, torch.Size([4800, 20]), torch.Size([48, 2]), 4)
    """

    def __init__(
        self,
        samples: int,
        seq_length: int = 100,
        seq_periods: int = 12,
        seq_repetitions: int = 4,
        population_size: int = 5,
        poisson_rate: int = 100,
        dt: float = 0.001,
        seed: int | None = None,
    ) -> None:
        for name, value, least in (
            ("samples", samples, 1),
            ("seq_length", seq_length, 1),
            ("seq_periods", seq_periods, 2),
            ("seq_repetitions", seq_repetitions, 1),
            ("population_size", population_size, 1),
        ):
            if value < least:
                raise ValueError(f"{type(self).__name__}: argument {name}: expects at least {least}, got {value}")
        for name, positive in (("poisson_rate", poisson_rate), ("dt", dt)):
            if not positive > 0:
                raise ValueError(f"{type(self).__name__}: argument {name}: expects a number above 0, got {positive}")
        self.samples = samples
        self.seq_length = seq_length
        self.seq_periods = seq_periods
        self.seq_repetitions = seq_repetitions
        self.population_size = population_size
        self.poisson_rate = poisson_rate
        self.dt = dt
        self.seed = int(torch.randint(2**31, ())) if seed is None else seed
        draws = torch.Generator().manual_seed(self.seed)
        trials, half = (samples, seq_repetitions), seq_periods // 2
        self.store_indices = torch.randint(0, half, trials, generator=draws)
        """Of each sequence and trial, the period in the trial that has the store command."""
        self.recall_indices = torch.randint(half, seq_periods, trials, generator=draws)
        """Of each sequence and trial, the period in the trial that has the recall command."""
        self._seeds = torch.randint(2**31, (samples,), generator=draws)

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not -self.samples <= index < self.samples:
            raise IndexError(f"{type(self).__name__}: expects an index below {self.samples}, got {index}")
        draws = torch.Generator().manual_seed(int(self._seeds[index]))
        trials = torch.arange(self.seq_repetitions)
        bits = torch.randint(2, (self.seq_repetitions, self.seq_periods), generator=draws)
        store, recall = self.store_indices[index], self.recall_indices[index]

        active = torch.zeros(self.seq_repetitions, self.seq_periods, 4)  # bit 0, bit 1, store, recall
        active[..., :2] = torch.nn.functional.one_hot(bits, 2)
        active[trials, store, 2] = 0.5
        active[trials, recall] = torch.tensor([0.0, 0.0, 0.0, 0.5])
        targets = torch.zeros(self.seq_repetitions, self.seq_periods, 2, dtype=torch.uint8)
        targets[trials, recall, bits[trials, store]] = 1

        probability = self.dt * self.poisson_rate * active.flatten(0, 1)
        probability = probability.repeat_interleave(self.population_size, 1).repeat_interleave(self.seq_length, 0)
        spikes = torch.rand(probability.shape, generator=draws) < probability
        return spikes.float(), targets.flatten(0, 1)
