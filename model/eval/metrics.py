"""Metrics: the score of one answer against the expected one, between 0 and 1.

A metric is a function of the answer, the expected answer and the question. A sample has one written
answer, so there is one reference.
"""

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from rapidfuzz.distance import LCSseq, Levenshtein

from smolmix.errors import UsageError, nearest
from smolmix.model.eval.choices import choice_of, expected_option, options

Metric = Callable[[str, str, str], float]  # answer, expected, question

RELATIVE_ERROR = 0.05
ANLS_THRESHOLD = 0.5
AUTO = "auto"  # a metric for each question, see `fitting`


def exact_match(answer: str, expected: str, _question: str = "") -> float:
    """Return 1 if the answer equals the expected one, ignoring case and surrounding spaces."""
    return float(_plain(answer) == _plain(expected))


def relaxed_accuracy(answer: str, expected: str, _question: str = "") -> float:
    """Return 1 for a number at most 5 % off the expected one, or for the same text.

    A percentage counts as its hundredth on both sides. An expected zero is compared as text.

    Source: ChartQA, arXiv 2203.10244 §5.1, after Methani et al. (PlotQA), arXiv 1909.00997.
    """
    given, reference = _number(answer), _number(expected)
    if given is not None and reference:
        return float(abs(given - reference) <= RELATIVE_ERROR * abs(reference))
    return exact_match(answer, expected)


def anls(answer: str, expected: str, _question: str = "") -> float:
    """Return 1 minus the normalised edit distance, or 0 if that distance is 0.5 or more.

    Case, surrounding spaces and repeated spaces are ignored.

    Source: ST-VQA, arXiv 1905.13648 §4, eq. 1 (its mean over questions is ANLS); DocVQA,
    arXiv 2007.00398 §5.
    """
    given, reference = (" ".join(text.casefold().split()) for text in (answer, expected))
    longest = max(len(given), len(reference))
    if not longest:
        return 1.0
    distance = Levenshtein.distance(given, reference) / longest
    return 1 - distance if distance < ANLS_THRESHOLD else 0.0


def rouge_l(answer: str, expected: str, _question: str = "") -> float:
    """Return ROUGE-L: the F1 of the longest word sequence that both contain in the same order.

    For captions. CIDEr weighs words by how rare they are in a reference set and is meant for
    several references of an image; ROUGE-L needs one and scores an answer by itself, and the order
    of words tells "red left of blue" from "blue left of red". Words are runs of letters and digits
    of any script, ignoring case; nothing is stemmed. Package rouge-score is not used: it keeps only
    a-z and 0-9, so that an answer in Greek or Japanese has no words.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", §3 with β = 1.
    """
    given, reference = (re.findall(r"[^\W_]+", text.casefold()) for text in (answer, expected))
    if not given or not reference:
        return float(given == reference)
    return 2 * LCSseq.similarity(given, reference) / (len(given) + len(reference))


def multiple_choice(answer: str, expected: str, question: str) -> float:
    """Return 1 if the answer names the expected option, see `smolmix.model.eval.choices`.

    If the question lists no options, the letters that both name are compared. An answer that is
    the expected one word for word is right.

    Source: VLMEvalKit's exact matching, what it does without a judge, arXiv 2407.11691 §3.2.
    """
    listed = options(question)
    right = expected_option(expected, listed)
    if right is None or exact_match(answer, expected):
        return exact_match(answer, expected)
    named = choice_of(answer, listed)
    return float(named is not None and named.letter == right)


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "exact_match": exact_match,
        "relaxed_accuracy": relaxed_accuracy,
        "anls": anls,
        "multiple_choice": multiple_choice,
        "rouge_l": rouge_l,
    }
)
_BY_CATEGORY = {
    "caption": "rouge_l",
    "document": "anls",
    "ocr": "anls",
    "chart": "relaxed_accuracy",
}


def fitting(category: str, question: str, expected: str) -> str:
    """Return the metric that `auto` takes, by the question's options, else by category."""
    listed = options(question)
    if listed and expected_option(expected, listed) is not None:
        return "multiple_choice"
    return _BY_CATEGORY.get(category, "exact_match")


def metric_names(requested: str) -> tuple[str, ...]:
    """Return the metrics of `--metric`, separated by commas, and `exact_match` in any case.

    Raises:
        UsageError: one is unknown.
    """
    names = list(dict.fromkeys(part.strip() for part in requested.split(",")))
    known = (*METRICS, AUTO)
    for name in names:
        if name not in known:
            raise UsageError(
                f"--metric {name}: unknown; known: {', '.join(known)}{nearest(name, known)}"
            )
    return tuple(dict.fromkeys([*names, "exact_match"]))


def _plain(text: str) -> str:
    return text.strip().casefold()


def _number(text: str) -> float | None:
    """Return the number that a text is, a percentage as its hundredth; None if it is not one."""
    text = text.strip()
    try:
        value = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
