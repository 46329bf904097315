"""Data sets: the store-recall task as it is described, and recorded events in time steps."""

import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from norse.dataset import MemoryStoreRecallDataset, SpikingHeidelbergDigitsDataset, SpikingSpeechCommandsDataset
from norse.dataset.events import events_to_spikes

# ---- store and recall ------------------------------------------------------------------------------------------------


def rates(spikes: torch.Tensor, dataset: MemoryStoreRecallDataset) -> torch.Tensor:
    """Mean spikes a tick and neuron of each period and population, [periods, 4]."""
    return spikes.reshape(-1, dataset.seq_length, 4, dataset.population_size).mean((1, 3))


@pytest.fixture(scope="module")
def dataset() -> MemoryStoreRecallDataset:
    return MemoryStoreRecallDataset(samples=20, seq_length=200, poisson_rate=100, seed=3)


def test_a_sequence_has_one_store_in_the_first_half_and_one_recall_in_the_second_half_of_each_trial(
    dataset: MemoryStoreRecallDataset,
) -> None:
    for spikes, _ in (dataset[k] for k in range(len(dataset))):
        store, recall = (rates(spikes, dataset) > 0)[:, 2:].reshape(4, 12, 2).unbind(-1)
        assert (store.sum(1) == 1).all() and (recall.sum(1) == 1).all()
        assert not store[:, 6:].any() and not recall[:, :6].any()


def test_the_target_at_recall_is_the_bit_at_store(dataset: MemoryStoreRecallDataset) -> None:
    asked = []
    for spikes, targets in (dataset[k] for k in range(len(dataset))):
        activity = rates(spikes, dataset).reshape(4, 12, 4)
        for trial, target in zip(activity, targets.reshape(4, 12, 2), strict=True):
            store, recall = trial[:, 2].argmax(), trial[:, 3].argmax()
            bit = int(trial[store, :2].argmax())
            assert target.sum() == 1 and target[recall, bit] == 1
            asked.append(bit)
    assert 0.3 < np.mean(asked) < 0.7


def test_every_period_but_recall_shows_one_bit(dataset: MemoryStoreRecallDataset) -> None:
    spikes, _ = dataset[0]
    activity = rates(spikes, dataset) > 0
    assert torch.equal(activity[:, :2].sum(1), 1 - activity[:, 3].long())


def test_bits_are_poisson_spikes_at_the_rate_and_commands_at_half_of_it() -> None:
    long = MemoryStoreRecallDataset(1, seq_length=20_000, seq_repetitions=1, poisson_rate=80, dt=0.002, seed=0)
    spikes, _ = long[0]
    activity = rates(spikes, long)
    for populations, expected in (((0, 1), 0.16), ((2, 3), 0.08)):
        active = activity[:, populations][activity[:, populations] > 0]
        deviation = (expected * (1 - expected) / (20_000 * long.population_size)) ** 0.5
        assert ((active - expected).abs() < 5 * deviation).all()
    # Independent from tick to tick: as many pairs of neighbouring spikes as chance gives.
    shown = spikes.reshape(12, 20_000, 4, 5)[0, :, int(activity[0, :2].argmax())]
    pairs = (shown[1:] * shown[:-1]).mean().item()
    assert pairs == pytest.approx(0.16**2, rel=0.1)


def test_a_sequence_is_the_same_whenever_it_is_read_and_other_than_the_next() -> None:
    first, again = (MemoryStoreRecallDataset(5, seed=7) for _ in range(2))
    forwards, backwards = [first[k] for k in range(5)], [again[k] for k in reversed(range(5))]
    for (spikes, targets), (same_spikes, same_targets) in zip(forwards, reversed(backwards), strict=True):
        assert torch.equal(spikes, same_spikes) and torch.equal(targets, same_targets)
    assert not torch.equal(forwards[0][0], forwards[1][0])
    assert not torch.equal(MemoryStoreRecallDataset(5, seed=8)[0][0], forwards[0][0])


def test_reading_leaves_the_generator_of_torch_alone(dataset: MemoryStoreRecallDataset) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    dataset[0]
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_the_generator_of_torch_decides() -> None:
    def spikes(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return MemoryStoreRecallDataset(1)[0][0]

    assert torch.equal(spikes(0), spikes(0)) and not torch.equal(spikes(0), spikes(1))


def test_sequences_come_in_batches_and_from_workers_as_they_are() -> None:
    tiny = MemoryStoreRecallDataset(4, seq_length=5, seed=0)
    (batch, targets) = next(iter(DataLoader(tiny, batch_size=4, num_workers=1)))
    assert batch.shape == (4, 240, 20) and targets.dtype == torch.uint8
    assert torch.equal(batch, torch.stack([tiny[k][0] for k in range(4)]))


def test_iterating_ends_and_negative_indices_count_from_the_end() -> None:
    tiny = MemoryStoreRecallDataset(3, seq_length=1, seed=0)
    assert len(list(iter(tiny))) == 3  # type: ignore[call-overload]
    assert torch.equal(tiny[-1][0], tiny[2][0])
    with pytest.raises(IndexError):
        tiny[-4]


@pytest.mark.parametrize(("name", "value"), [
    ("samples", 0), ("seq_length", 0), ("seq_periods", 1), ("seq_repetitions", 0), ("population_size", 0),
    ("poisson_rate", 0), ("dt", -0.001),
])  # fmt: skip
def test_a_number_that_makes_no_task_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"MemoryStoreRecallDataset: argument {name}: expects .*got {value}"):
        MemoryStoreRecallDataset(**{"samples": 2, name: value})


# ---- recordings ------------------------------------------------------------------------------------------------------

DTYPE = np.dtype([("t", np.int64), ("x", np.int16), ("p", np.int8)])  # unaligned, as recordings are
EVENTS = np.array([(0, 5, 1), (999, 5, 1), (1000, 699, 1), (2500, 0, 1), (7000, 3, 1)], DTYPE)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Stands for Tonic: data sets of one recording; holds the arguments that they were opened with."""
    calls: list[dict[str, Any]] = []

    def open_set(**kwargs: Any) -> list[tuple[Any, int]]:
        calls.append(kwargs)
        return [(EVENTS, np.int64(7))]  # type: ignore[list-item]

    datasets = types.ModuleType("tonic.datasets")
    datasets.SHD = datasets.SSC = open_set  # type: ignore[attr-defined]
    tonic = types.ModuleType("tonic")
    monkeypatch.setitem(sys.modules, "tonic", tonic)
    monkeypatch.setitem(sys.modules, "tonic.datasets", datasets)
    yield calls


def test_events_are_counted_in_time_steps() -> None:
    spikes = events_to_spikes(EVENTS, 700, dt=0.001)
    assert spikes.shape == (8, 1, 700) and spikes.dtype == torch.float32
    entries = {tuple(index): spikes[tuple(index)].item() for index in spikes.nonzero().tolist()}
    assert entries == {(0, 0, 5): 2, (1, 0, 699): 1, (2, 0, 0): 1, (7, 0, 3): 1}


@pytest.mark.parametrize("dt", [0.0001, 0.0003, 0.0007, 0.003])
def test_an_event_at_the_start_of_a_tick_belongs_to_it(dt: float) -> None:
    microseconds = round(dt * 1e6)
    times = np.arange(1000) * microseconds
    spikes = events_to_spikes({"t": np.concatenate([times, times + microseconds - 1]), "x": np.zeros(2000)}, 1, dt)
    assert torch.equal(spikes, torch.full((1000, 1, 1), 2.0))


@pytest.mark.parametrize(("seq_length", "total"), [(1, 2), (2, 3), (100, 5), (None, 5)])
def test_sequences_are_cut_or_filled_with_silence(seq_length: int | None, total: int) -> None:
    spikes = events_to_spikes(EVENTS, 700, 0.001, seq_length)
    assert (spikes.shape[0], spikes.sum()) == (seq_length or 8, total)


def test_a_recording_without_events_is_silence() -> None:
    empty = np.zeros(0, DTYPE)
    assert events_to_spikes(empty, 700, 0.001, 3).shape == (3, 1, 700)
    assert events_to_spikes(empty, 700, 0.001).shape == (0, 1, 700)


def test_tonic_is_asked_for_the_part_that_is_wanted(opened: list[dict[str, Any]]) -> None:
    SpikingHeidelbergDigitsDataset("here", train=False)
    SpikingSpeechCommandsDataset("there", split="valid")
    assert opened == [{"save_to": "here", "train": False}, {"save_to": "there", "split": "valid"}]


@pytest.mark.parametrize("kind", [SpikingHeidelbergDigitsDataset, SpikingSpeechCommandsDataset])
def test_a_sample_is_spikes_of_700_channels_and_a_label(kind: Any, opened: list[dict[str, Any]]) -> None:
    dataset = kind("here", dt=0.002, seq_length=10)
    spikes, label = dataset[0]
    assert (len(dataset), spikes.shape, label, type(label)) == (1, (10, 1, 700), 7, int)
    assert spikes[0, 0, [5, 699]].tolist() == [2, 1]


@pytest.mark.parametrize("kind", [SpikingHeidelbergDigitsDataset, SpikingSpeechCommandsDataset])
def test_bad_binning_is_refused_before_anything_is_downloaded(kind: Any, opened: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match=f"{kind.__name__}: argument dt: expects a time step in s above 0, got 0"):
        kind("here", dt=0)
    with pytest.raises(ValueError, match=f"{kind.__name__}: argument seq_length: expects at least 1 tick"):
        kind("here", seq_length=0)
    with pytest.raises(ValueError, match="argument split: expects one of train, valid, test, got all"):
        SpikingSpeechCommandsDataset("here", split="all")  # type: ignore[arg-type]
    assert not opened


@pytest.mark.parametrize("kind", [SpikingHeidelbergDigitsDataset, SpikingSpeechCommandsDataset])
def test_without_tonic_it_is_said_how_to_get_it(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tonic", None)
    monkeypatch.delitem(sys.modules, "tonic.datasets", raising=False)
    with pytest.raises(ImportError, match=rf"{kind.__name__}: .*pip install -e '\.\[datasets\]' in a clone"):
        kind("here")
