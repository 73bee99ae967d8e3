"""What can be answered without looking: the most common training answer to each question."""

from collections import Counter
from collections.abc import Iterable

from smolmix.model.eval.prompts import Prompt
from smolmix.sample import Sample


class QuestionOnly:
    """The question-only baseline of a corpus."""

    def __init__(self, training: Iterable[Sample]):
        """Count the answers that the training samples give to each question."""
        by_question: dict[str, Counter[str]] = {}
        overall: Counter[str] = Counter()
        for sample in training:
            for before, turn in zip(sample.turns, sample.turns[1:], strict=False):
                if turn.role == "assistant":
                    answer = turn.text.strip()
                    by_question.setdefault(before.text.strip(), Counter())[answer] += 1
                    overall[answer] += 1
        self._answers = {q: _first(c) for q, c in by_question.items()}
        self._default = _first(overall) if overall else ""

    def answer(self, prompt: Prompt) -> str:
        """Return the most common answer to the prompt's question, or of all where it is new."""
        return self._answers.get(prompt.question, self._default)


def _first(counts: Counter[str]) -> str:
    """Return the most common; of equals, the first in order of the alphabet."""
    return min(counts.items(), key=lambda item: (-item[1], item[0]))[0]
