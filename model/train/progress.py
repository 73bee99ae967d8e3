"""Shows a run's progress: a bar with the time left, or plain lines where there is no terminal."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from smolmix.model.train.loop import StepReport
from smolmix.model.train.recipe import StageSpec

_EVERY_S = 15.0


class Watcher:
    """Called after each step."""

    def __init__(self) -> None:
        """Draw on standard error."""
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}  {task.fields[note]}"),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._tasks: dict[str, TaskID] = {}
        self._told = 0.0

    def __call__(self, stage: StageSpec, step: StepReport) -> None:
        """Show a step."""
        note = f"loss {step.loss:.3f}  {step.tokens_per_s:,.0f} tokens/s  {_left(step)} left"
        if self._bar.disable:
            if time.monotonic() - self._told > _EVERY_S or step.step == step.steps:
                self._told = time.monotonic()
                line = f"train {stage.name}: step {step.step} of {step.steps}  {note}"
                print(line, file=sys.stderr, flush=True)
            return
        if stage.name not in self._tasks:
            self._tasks[stage.name] = self._bar.add_task(stage.name, total=step.steps, note=note)
        self._bar.update(self._tasks[stage.name], completed=step.step, note=note)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._bar.stop()


def _left(step: StepReport) -> str:
    minutes, seconds = divmod(int(step.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
