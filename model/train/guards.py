"""Checks the loss and gradient norm of each step: an abnormal step stops the run or is skipped."""

import math
import statistics
from collections import deque
from collections.abc import Mapping
from typing import Any

from smolmix.errors import DataError
from smolmix.model.train.recipe import Guards


class Guard:
    """Decides on each step from the norms of earlier steps, which are part of a checkpoint."""

    def __init__(self, guards: Guards):
        """Start with an empty history."""
        self._guards = guards
        self._norms: deque[float] = deque(maxlen=guards.window)
        self._in_a_row = 0
        self.skipped = 0

    def allows(self, step: int, loss: float, norm: float) -> bool:
        """Return whether the step may be taken, and remember its norm if so.

        Args:
            step: counted over all stages, for the message.
            loss: mean over the step's supervised tokens.
            norm: of the gradient, before clipping.

        Raises:
            DataError: the recipe says to stop, or too many steps in a row were skipped.
        """
        problem = self._problem(loss, norm)
        if not problem:
            self._norms.append(norm)
            self._in_a_row = 0
            return True
        kind, what = problem
        choice = self._guards.nan if kind == "nan" else self._guards.spike
        self._in_a_row += 1
        if choice == "stop" or self._in_a_row > self._guards.patience:
            raise DataError(
                f"step {step}: {what} (loss {loss:g}, gradient norm {norm:g}); the last checkpoint "
                f"is kept; lower the learning rate, or set guards.{kind}: skip in the recipe"
            )
        self.skipped += 1
        return False

    def _problem(self, loss: float, norm: float) -> tuple[str, str] | None:
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return "nan", "the loss or the gradient is not a number"
        full = len(self._norms) == self._guards.window
        if self._guards.spike == "off" or not full:
            return None
        usual = statistics.median(self._norms)
        if usual and norm > self._guards.spike_factor * usual:  # 0: the steps trained nothing
            return "spike", f"the gradient norm is {norm / usual:.0f} × its running median"
        return None

    def state_dict(self) -> dict[str, Any]:
        """Return the history."""
        return {"norms": list(self._norms), "in_a_row": self._in_a_row, "skipped": self.skipped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a history."""
        self._norms = deque(state["norms"], maxlen=self._guards.window)
        self._in_a_row, self.skipped = state["in_a_row"], state["skipped"]
