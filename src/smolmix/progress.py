"""Progress towards a total: a bar on a terminal, a line every 30 s elsewhere; on standard error.

The caller names what it counts: files or steps towards the total, and optionally what is inside
(rows, samples, tokens), whose rate is shown.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVERY_S = 30.0


class Meter:
    """Counts steps towards a total and shows how far they are."""

    def __init__(
        self,
        total: int,
        *,
        unit: str,
        item: str = "",
        show: Callable[["Meter"], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Start counting.

        Args:
            total: how many steps there are.
            unit: what a step is, in the plural: "files".
            item: what is in a step, in the plural: "samples"; its rate is shown, else the steps'.
            show: called after each step.
            clock: in seconds.
        """
        self.total, self.unit, self.item = total, unit, item
        self.done = self.items = 0
        self.note = ""
        self._show, self._clock, self._started = show, clock, clock()
        self._known: tuple[float, float] | None = None

    def advance(self, steps: int = 1, items: int = 0) -> None:
        """Count steps, and the items that were in them."""
        self.done, self.items = self.done + steps, self.items + items
        self._show(self)

    def update(self, done: int, *, rate: float, seconds_left: float, note: str = "") -> None:
        """Show what the caller measured itself, as one that resumed at a later step must.

        Args:
            done: the number of steps done so far.
            rate: items per second.
            seconds_left: until the total.
            note: shown behind the time left.
        """
        self.done, self.note, self._known = done, note, (rate, seconds_left)
        self._show(self)

    def tick(self) -> None:
        """Show the same again: time has passed."""
        self._show(self)

    def text(self) -> str:
        """Return how far it is: "3 of 12 files, 4,500 samples, 210 samples/s, 1:05 left"."""
        parts = [f"{self.done:,} of {self.total:,} {self.unit}"]
        elapsed = self._clock() - self._started
        if self._known is not None:
            rate, left = self._known
            parts += [f"{rate:,.0f} {self.item or self.unit}/s", f"{_clock_time(left)} left"]
        elif self.done and elapsed > 0:
            if self.items:
                parts.append(f"{self.items:,} {self.item}")
            count, of = (self.items, self.item) if self.items else (self.done, self.unit)
            rate = count / elapsed
            parts.append(f"{rate:,.0f} {of}/s" if rate >= 10 else f"{rate:.2g} {of}/s")
            parts.append(f"{_clock_time(elapsed / self.done * (self.total - self.done))} left")
        return ", ".join([*parts, self.note] if self.note else parts)


def _clock_time(seconds: float) -> str:
    """Return 75 as "1:15" and 3700 as "1:01:40"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def progress(
    title: str, total: int, *, unit: str = "files", item: str = "", quiet: bool = False
) -> Iterator[Meter]:
    """Show progress towards `total`; yields the meter to advance.

    Args:
        title: of the bar or line.
        total: how many steps there are.
        unit: what a step is, in the plural.
        item: what is in a step, in the plural, if its rate is to be shown.
        quiet: show nothing.
    """
    if quiet or total == 0:
        yield Meter(total, unit=unit, item=item)
    elif not sys.stderr.isatty():
        yield Meter(total, unit=unit, item=item, show=_lines(title))
    else:
        with _bar(title, total) as show:
            yield Meter(total, unit=unit, item=item, show=show)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[Meter], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, text="")
        yield lambda meter: bar.update(task, completed=meter.done, text=meter.text())


def _lines(title: str) -> Callable[[Meter], None]:
    last = time.monotonic()

    def show(meter: Meter) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY_S:
            last = now
            print(f"{title}: {meter.text()}", file=sys.stderr, flush=True)

    return show
