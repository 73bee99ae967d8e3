"""Sequences made ready one step ahead in a thread, with the loader's place after each."""

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch

from smolmix.model.train.step import Packed, pack


class Sequences(Protocol):
    """What the training loop needs of a loader: this rank's sequences, and its place."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield packed sequences without end, pass after pass."""

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the global order."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to a place."""


class Prefetched:
    """Yields (sequence, packed tensors, loader state after it); counts the time spent waiting."""

    def __init__(
        self,
        source: Sequences,
        device: torch.device | str,
        *,
        depth: int = 2,
        separate_documents: bool = True,
    ):
        """Start reading `source` in a thread, at most `depth` sequences ahead."""
        self._separate = separate_documents
        self.waited_s = 0.0
        self._queue: queue.Queue[Any] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(source, device), daemon=True)
        self._thread.start()

    def _fill(self, source: Sequences, device: torch.device | str) -> None:
        item: Any = StopIteration
        try:
            for sequence in source:
                packed = pack(sequence, device, separate_documents=self._separate)
                if not self._put((sequence, packed, source.state_dict())):
                    return
        except BaseException as error:  # handed to the reader, which raises it
            item = error
        self._put(item)

    def _put(self, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def take(self) -> tuple[Mapping[str, Any], Packed, dict[str, Any]]:
        """Return the next sequence.

        Raises:
            StopIteration: the source has ended.
        """
        start = time.perf_counter()
        item = self._queue.get()
        self.waited_s += time.perf_counter() - start
        if item is StopIteration:
            raise StopIteration
        if isinstance(item, BaseException):
            raise item
        return item  # type: ignore[no-any-return]

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()
