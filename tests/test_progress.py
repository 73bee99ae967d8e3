"""Progress says how far, how fast and how long, in the units of who reports it."""

import io
import sys
import time

import pytest

from smolmix.progress import Meter, progress


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_items_have_the_rate_and_steps_the_time_left() -> None:
    clock = Clock()
    meter = Meter(12, unit="files", item="samples", clock=clock)
    assert meter.text() == "0 of 12 files"
    clock.now += 20
    meter.advance(items=3000)
    meter.advance(items=1500)
    assert meter.text() == "2 of 12 files, 4,500 samples, 225 samples/s, 1:40 left"


def test_steps_have_the_rate_where_no_items_are_counted() -> None:
    clock = Clock()
    meter = Meter(4000, unit="questions", clock=clock)
    clock.now += 2
    meter.advance(5)
    assert meter.text() == "5 of 4,000 questions, 2.5 questions/s, 26:38 left"
    clock.now += 10_000
    assert meter.text() == "5 of 4,000 questions, 0.0005 questions/s, 2219:53:18 left"


def test_a_rate_that_the_caller_measured_is_shown_as_it_is() -> None:
    meter = Meter(400, unit="steps", item="tokens", clock=Clock())
    meter.update(300, rate=81234.5, seconds_left=3700, note="loss 3.210")
    assert meter.text() == "300 of 400 steps, 81,234 tokens/s, 1:01:40 left, loss 3.210"


def test_outside_a_terminal_there_is_a_line_every_30_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    with progress("measure c", 100, item="rows") as meter:
        for _ in range(100):
            clock.now += 1
            meter.advance(items=10)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" of ")[0] for line in lines] == [
        "measure c: 30", "measure c: 60", "measure c: 90",
    ]  # fmt: skip
    assert not lines[0].startswith(" ")


def test_time_that_passes_without_a_step_is_shown_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    with progress("measure c", 2) as meter:
        for _ in range(61):
            clock.now += 1
            meter.tick()
    assert capsys.readouterr().err.splitlines() == ["measure c: 0 of 2 files"] * 2


@pytest.mark.parametrize(("total", "quiet"), [(5, True), (0, False)])
def test_quiet_and_empty_work_print_nothing(
    total: int, quiet: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    with progress("x", total, quiet=quiet) as meter:
        clock.now += 1000
        meter.advance()
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_a_bar_with_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen)
    with progress("measure c", 3, item="rows") as meter:
        meter.advance(items=7)
        meter.advance(items=7)
    assert "measure c" in screen.getvalue()
    assert "2 of 3 files, 14 rows" in screen.getvalue()
