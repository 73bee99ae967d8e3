"""Scores of one answer against the expected one, each between 0 and 1.

Every metric takes what was said, what was expected and the question, and knows nothing else.
Samples have one written answer, so there is one reference, not several.
"""

import math
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from smolmix.errors import UsageError, nearest

Metric = Callable[[str, str, str], float]  # answer, expected, question

RELATIVE_ERROR = 0.05
ANLS_THRESHOLD = 0.5
AUTO = "auto"


def exact_match(answer: str, expected: str, _question: str = "") -> float:
    """Return 1 where the answer is the expected one, spaces around and case aside."""
    return float(_plain(answer) == _plain(expected))


def relaxed_accuracy(answer: str, expected: str, _question: str = "") -> float:
    """Return 1 for a number at most 5 % off the expected one, or for the same words.

    A percentage counts as its hundredth on both sides; an expected zero must be met as text.

    Source: ChartQA, arXiv 2203.10244 §5.1, after Methani et al. (PlotQA), arXiv 1909.00997.
    """
    said, wanted = _number(answer), _number(expected)
    if said is not None and wanted:
        return float(abs(said - wanted) <= RELATIVE_ERROR * abs(wanted))
    return exact_match(answer, expected)


def anls(answer: str, expected: str, _question: str = "") -> float:
    """Return 1 minus the normalised edit distance, or 0 where that distance is 0.5 or more.

    Case, spaces around and runs of spaces are overlooked.

    Source: ST-VQA, arXiv 1905.13648 §4, eq. 1 (its mean over questions is ANLS); DocVQA,
    arXiv 2007.00398 §5.
    """
    said, wanted = (" ".join(text.casefold().split()) for text in (answer, expected))
    longest = max(len(said), len(wanted))
    if not longest:
        return 1.0
    if abs(len(said) - len(wanted)) >= ANLS_THRESHOLD * longest:
        return 0.0
    far = edit_distance(said, wanted) / longest
    return 1 - far if far < ANLS_THRESHOLD else 0.0


def edit_distance(one: str, other: str) -> int:
    """Return how many characters must be put in, taken out or changed to make one the other.

    Source: Levenshtein 1966; the row-by-row algorithm of Wagner and Fischer 1974.
    """
    if len(one) < len(other):
        one, other = other, one
    above = list(range(len(other) + 1))
    for row, a in enumerate(one, 1):
        here = [row]
        for col, b in enumerate(other, 1):
            here.append(min(above[col] + 1, here[-1] + 1, above[col - 1] + (a != b)))
        above = here
    return above[-1]


def rouge_l(answer: str, expected: str, _question: str = "") -> float:
    """Return ROUGE-L: the F1 of the longest word sequence that both hold in the same order.

    For captions. CIDEr weighs words by how rare they are in a whole reference set and needs
    several references an image to mean what it says; ROUGE-L needs one, scores an answer by
    itself, and its order of words tells "red left of blue" from "blue left of red". Words are
    runs of letters and digits, case aside; nothing is stemmed.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", §3 with β = 1.
    """
    said, wanted = (re.findall(r"[^\W_]+", text.casefold()) for text in (answer, expected))
    if not said or not wanted:
        return float(said == wanted)
    above = [0] * (len(wanted) + 1)
    for a in said:
        here = [0]
        for col, b in enumerate(wanted, 1):
            here.append(above[col - 1] + 1 if a == b else max(above[col], here[-1]))
        above = here
    return 2 * above[-1] / (len(said) + len(wanted))


def multiple_choice(answer: str, expected: str, question: str) -> float:
    """Return 1 where the answer names the expected option, by its letter or by its words.

    Where the question lists no options, two letters are compared.

    Source: what VLMEvalKit infers without a judge, arXiv 2407.11691 §3.2: exact matching.
    """
    listed = options(question)
    wanted = chosen(expected, listed)
    if wanted is None:
        return exact_match(answer, expected)
    return float(chosen(answer, listed) == wanted)


_LABEL = r"[(\[]?([A-Z])[.):\]]+[ \t]+"  # A.  A)  (A)  A:  [A]
_LISTED = re.compile(rf"^[ \t]*{_LABEL}", re.MULTILINE)
_INLINE = re.compile(rf"(?<!\S){_LABEL}")
_NAMED = re.compile(
    r"^(?:so |thus |therefore )?,?\s*(?:the )?(?:correct |right |best )?"
    r"(?:answer|option|choice|final answer)(?: is| would be)?\s*[:=]?\s*(?:option )?",
    re.IGNORECASE,
)
_LETTER = re.compile(r"^[*_(\[\s]*([A-Za-z])[*_)\]\s]*(?:[.:,)](?!\w)[*_]*\s*(.*))?$", re.DOTALL)

_ALONE = re.compile(r"(?<![\w'])[A-Z](?![\w'])")  # a letter that may name an option


def options(question: str) -> dict[str, str]:
    """Return the options a question lists, letter to words; none unless they run A, B, …"""
    for pattern in (_LISTED, _INLINE):
        labels: list[re.Match[str]] = []
        for match in pattern.finditer(question):
            if match[1] == chr(ord("A") + len(labels)):
                labels.append(match)
        ends = [m.start() for m in labels[1:]] + [len(question)]
        if len(labels) > 1:
            return {
                m[1]: question[m.end() : end].partition("\n")[0].strip(" \t,;")
                for m, end in zip(labels, ends, strict=True)
            }
    return {}


def chosen(answer: str, listed: Mapping[str, str]) -> str | None:
    """Return the letter an answer names, or None where it names none or several.

    Reads "B", "b)", "(B)", "B.", "Answer: B", "The answer is (B).", "B. the words of B", and the
    words of an option alone.
    """
    text = answer.strip()
    words = [key for key, value in listed.items() if _bare(value) == _bare(text)]
    if len(words) == 1:
        return words[0]
    text = _NAMED.sub("", text, count=1).strip()
    match = _LETTER.match(text)
    if match and (not listed or match[1].upper() in listed):
        key, rest = match[1].upper(), match[2] or ""
        others = set(_ALONE.findall(rest)) & listed.keys() - {key}
        return key if not others or _bare(rest) == _bare(listed[key]) else None
    named = [key for key, value in listed.items() if _bare(value) == _bare(text)]
    return named[0] if len(named) == 1 else None


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
    """Return the metric that `auto` takes: by the options in the question, then by category."""
    listed = options(question)
    if listed and chosen(expected, listed) is not None:
        return "multiple_choice"
    return _BY_CATEGORY.get(category, "exact_match")


def metric_names(wanted: str) -> tuple[str, ...]:
    """Return the metrics of `--metric`, commas between them, and exact match if it is not there.

    Raises:
        UsageError: one is unknown.
    """
    names = list(dict.fromkeys(part.strip() for part in wanted.split(",")))
    known = (*METRICS, AUTO)
    for name in names:
        if name not in known:
            raise UsageError(
                f"--metric {name}: unknown; known: {', '.join(known)}{nearest(name, known)}"
            )
    return tuple(dict.fromkeys([*names, "exact_match"]))


def _plain(text: str) -> str:
    return text.strip().casefold()


def _bare(text: str) -> str:
    return _plain(text).rstrip(".")


def _number(text: str) -> float | None:
    """Return the number a text is, a percentage as its hundredth; None where it is none."""
    text = text.strip()
    try:
        value = float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
