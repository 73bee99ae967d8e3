"""Sequences read ahead: same order, the state after each, errors and ends passed on."""

import threading
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pytest
import torch
from tests.support.sequences import MemorySequences

from smolmix.model.train.prefetch import Prefetched
from smolmix.model.train.step import pack


def test_sequences_come_in_order_with_the_state_after_each() -> None:
    data = Prefetched(MemorySequences(limit=5), "cpu")
    taken = [data.take() for _ in range(5)]
    expected = list(MemorySequences(limit=5))
    for number, ((sequence, packed, state), one) in enumerate(zip(taken, expected, strict=True), 1):
        assert (sequence["input_ids"] == one["input_ids"]).all()
        assert torch.equal(packed.targets, pack(one).targets)
        assert state == {"next": number}  # not that of what was read ahead
    with pytest.raises(StopIteration):
        data.take()
    data.close()


def test_a_source_resumed_at_the_state_continues_the_order() -> None:
    data = Prefetched(MemorySequences(), "cpu")
    state = [data.take() for _ in range(3)][-1][2]
    data.close()
    resumed = MemorySequences()
    resumed.load_state_dict(state)
    fourth = next(iter(resumed))
    expected = next(islice(iter(MemorySequences()), 3, None))
    assert (fourth["input_ids"] == expected["input_ids"]).all()


class Broken(MemorySequences):
    """Fails at its third sequence."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        for sequence in super().__iter__():
            if self.next == 3:
                raise OSError("disk gone")
            yield sequence


def test_an_error_of_the_source_is_raised_where_the_sequence_is_taken() -> None:
    data = Prefetched(Broken(), "cpu")
    assert data.take()[2] == {"next": 1}
    assert data.take()[2] == {"next": 2}
    with pytest.raises(OSError, match="disk gone"):
        data.take()
    data.close()


def test_closing_stops_the_thread_though_nobody_takes_what_it_read() -> None:
    before = threading.active_count()
    data = Prefetched(MemorySequences(), "cpu", depth=1)
    data.take()
    data.close()
    assert threading.active_count() == before
    assert data.waited_s > 0
