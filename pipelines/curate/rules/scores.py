"""The rule on a model's score.

`smolmix.pipelines.curate.measure.model_scores` defines the scorers.
"""

from dataclasses import dataclass
from typing import ClassVar

from smolmix.pipelines.curate.rules.rule import Rule, View


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreLow:
    """A model's score is high enough."""

    name: ClassVar[str] = "score-low"
    scorer: str
    min_score: float

    def why(self, view: View) -> str | None:
        """Return the score that is too low."""
        found = view.scores[self.scorer]
        if found >= self.min_score:
            return None
        return f"{self.scorer} {found:.3f}, at least {self.min_score:g}"


RULES: tuple[type[Rule], ...] = (ScoreLow,)
