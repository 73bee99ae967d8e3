"""Packs sequences ahead of the step in a thread, keeping the loader's state after each."""

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch

from smolmix.model.train.step import Packed, pack


class Sequences(Protocol):
    """What the training loop needs of a loader: this rank's sequences, and its state."""

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield packed sequences without end, pass after pass."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the global order."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a position."""


class Prefetched:
    """A source read ahead in a thread; `waited_s` counts the seconds that `take` waited."""

    def __init__(
        self,
        source: Sequences,
        device: torch.device | str,
        *,
        depth: int = 2,
        separate_documents: bool = True,
    ):
        """Start reading.

        Args:
            source: this rank's sequences.
            device: where packed sequences are put.
            depth: sequences read ahead, at most.
            separate_documents: see `pack`.
        """
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
        except BaseException as error:  # raised by `take`
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
        """Return the next sequence, the same packed, and the source's state after it.

        Raises:
            StopIteration: the source has ended.
            Exception: whatever the source raised.
        """
        start = time.perf_counter()
        item = self._queue.get()
        self.waited_s += time.perf_counter() - start
        if item is StopIteration:
            raise StopIteration
        if isinstance(item, BaseException):
            raise item
        taken: tuple[Mapping[str, Any], Packed, dict[str, Any]] = item
        return taken

    def close(self) -> None:
        """Stop reading, and wait for the thread to end."""
        self._stop.set()
        self._thread.join()
