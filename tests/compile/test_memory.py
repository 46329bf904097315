"""Memory of large tensors is used again, and never while somebody holds it."""

from collections.abc import Iterator

import pytest
import torch

from norse.backends.cpu import memory
from norse.backends.cpu.memory import empty

MANY = 1 << 21


@pytest.fixture(autouse=True)
def nothing_held_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(memory, "_POOL", memory._Pool())
    yield


def test_a_tensor_has_the_memory_of_one_that_is_gone() -> None:
    first = empty((2, MANY), torch.float32)
    assert first.is_contiguous()
    assert first.shape == (2, MANY)
    place = first.data_ptr()
    del first
    assert empty((MANY, 2), torch.float32).data_ptr() == place


@pytest.mark.parametrize("hold", [lambda x: x[5:], lambda x: x.numpy(), lambda x: x.detach().view(-1, 2)])
def test_memory_is_not_used_again_while_a_view_of_it_lives(hold: object) -> None:
    first = empty((MANY,), torch.float32).fill_(1)
    held = hold(first)  # type: ignore[operator]
    del first
    empty((MANY,), torch.float32).fill_(2)
    assert (held == 1).all()


def test_what_is_kept_is_at_most_as_much_again_as_was_in_use() -> None:
    for size in range(MANY, 20 * MANY, MANY):
        empty((size,), torch.float32)
        assert sum(len(block.memory) for block in memory._POOL.blocks) <= 2 * size * 4


def test_what_is_not_asked_for_again_is_given_back() -> None:
    large = empty((10 * MANY,), torch.float32)
    del large
    for size in range(400):
        empty((MANY + size % 2 * MANY,), torch.float32)
    empty((4 * MANY,), torch.float32)  # fits none
    assert all(len(block.memory) < 40 * MANY for block in memory._POOL.blocks)


def test_small_tensors_are_torchs() -> None:
    assert empty((3, 4), torch.float64).dtype == torch.float64
    assert not memory._POOL.blocks


def test_all_can_be_given_back() -> None:
    held = empty((MANY,), torch.float32)
    empty((2 * MANY,), torch.float32)
    memory.release()
    assert [len(block.memory) for block in memory._POOL.blocks] == [held.nbytes]
