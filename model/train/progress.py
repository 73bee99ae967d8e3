"""Shows a training run's steps, tokens per second, time left and loss."""

import sys
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from smolmix.model.train.loop import StepReport
from smolmix.model.train.recipe import StageSpec
from smolmix.progress import Meter, progress


class Watcher:
    """Called after each step; a bar or lines for each stage of the recipe."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Show nothing if `quiet`."""
        self._quiet, self._open = quiet, ExitStack()
        self._meters: dict[str, Meter] = {}

    def __call__(self, stage: StageSpec, step: StepReport) -> None:
        """Show a step; the last one of a stage is printed on a line that stays."""
        if stage.name not in self._meters:
            self._open.close()
            shown = progress(
                f"train {stage.name}", step.steps, unit="steps", item="tokens", quiet=self._quiet
            )
            self._meters[stage.name] = self._open.enter_context(shown)
        meter = self._meters[stage.name]
        meter.update(
            step.step,
            rate=step.tokens_per_s,
            seconds_left=step.seconds_left,
            note=f"loss {step.loss:.3f}",
        )
        if step.step == step.steps:
            self._open.close()
            if not self._quiet:
                print(f"train {stage.name}: {meter.text()}", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        self._open.close()
