"""The question-only baseline: what can be answered without seeing the media."""

from collections import Counter
from collections.abc import Iterable

from smolmix.model.eval.prompts import Prompt
from smolmix.sample import Sample


class QuestionOnly:
    """Gives the most common training answer to each question of a corpus."""

    def __init__(self, training: Iterable[Sample]):
        """Count the answers that the training samples give to each question."""
        by_question: dict[str, Counter[str]] = {}
        overall: Counter[str] = Counter()
        for sample in training:
            for question, turn in zip(sample.turns, sample.turns[1:], strict=False):
                if turn.role == "assistant":
                    answer = turn.text.strip()
                    by_question.setdefault(question.text.strip(), Counter())[answer] += 1
                    overall[answer] += 1
        self._answers = {q: _most_common(c) for q, c in by_question.items()}
        self._default = _most_common(overall) if overall else ""

    def answer(self, prompt: Prompt) -> str:
        """Return the most common answer to the question; of all answers, if the question is new."""
        return self._answers.get(prompt.question, self._default)


def _most_common(counts: Counter[str]) -> str:
    """Return the most common answer; the first alphabetically if several are."""
    return min(counts.items(), key=lambda item: (-item[1], item[0]))[0]
