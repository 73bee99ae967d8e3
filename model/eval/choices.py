"""The option that an answer to a multiple-choice question names, and how it names it.

In order: an answer that is nothing but an option's words; the last declared answer ("the answer is
B", "\\boxed{B}"); the only letter that stands alone; the words of one option. An answer that names
several names none.

Source: VLMEvalKit, vlmeval/utils/matching_util.py and its pull request 1552: one letter alone among
the last four words, else the words of one option in an answer that is not long. Where that rule
finds an option the same one is found here, except where the answer says otherwise: a denied option
("not B"), "A" as an article ("A dog"), words inside a word ("5" in "15", "red" in "bored"), an
answer that is an option's words ("vitamin C"), and a declaration that the rule does not read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

How = Literal["declared", "alone", "words"]


@dataclass(frozen=True, slots=True)
class Choice:
    """The option that an answer names."""

    letter: str
    how: How  # declared as the answer; a letter that stands alone; the words of one option


# A.  A)  (A)  A:  [A], and with full-width punctuation, which needs no space
_LABEL = r"[(\[\uff08\u3010]?([A-Z])(?:[.):\]]+[ \t]+|[\u3001\uff0e\uff1a\uff09\u3011]+[ \t]*)"
_LISTED = re.compile(rf"^[ \t]*{_LABEL}", re.MULTILINE)
_INLINE = re.compile(rf"(?<!\S){_LABEL}")

_NAMED = re.compile(
    r"^(?:so |thus |therefore )?,?\s*(?:the )?(?:correct |right |best )?"
    r"(?:answer|option|choice|final answer)(?: is| would be)?\s*[:=]?\s*(?:option )?",
    re.IGNORECASE,
)
_LETTER = re.compile(r"^[*_(\[\s]*([A-Za-z])[*_)\]\s]*(?:[.:,)](?!\w)[*_]*\s*(.*))?$", re.DOTALL)
# A character of a word; scripts without spaces surround a letter without touching it.
_WORD = r"[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"
_ALONE = re.compile(  # a letter that may name an option
    rf"(?<!{_WORD})(?<!{_WORD}['\u2019])[A-Z](?!{_WORD})(?!['\u2019]{_WORD})"
)

_OPEN = r"[\s*_`$(\[{\"'\u201c]*"
_CLOSE = r"[*_`$)\]}\"'\u201d]*"
# What comes before a declared answer. A mark, a colon or a verb is needed: "the answer B is wrong".
_DECLARES = re.compile(
    r"<answer>|\\boxed\s*\{(?:\\(?:text|textbf|mathrm|mathbf)\s*\{)?|^\s*\#{4}\s"
    r"|\banswer[*_`\"']*\s*"
    r"(?:(?:is|was|would be|must be|should be|will be|has to be)\b\s*[:=]?|[:=])"
    r"|\b(?:correct|right|best|final|most likely)\s+(?:option|choice|letter)[*_`]*\s*"
    r"(?:(?:is|was|would be|must be|should be|will be)\b\s*[:=]?|[:=])"
    r"|\bI(?:'d| would| will|'ll)?\s+(?:choose|pick|select|go with)\b"
    r"|(?:答案|答え|正解|정답)(?:应该|應該)?(?:是|为|為|は|은)?\s*[:\uff1a]?",
    re.IGNORECASE | re.MULTILINE,
)
_DECLARED_LETTER = re.compile(
    rf"{_OPEN}(?:(?:the\s+)?(?:option|choice|letter)\b{_OPEN})?"
    rf"(?:([A-Z])(?!{_WORD}|'\w)|([a-z])(?={_CLOSE}[.,;:!]*(?:\s*$|\s*<|[)\]}}])))"
    rf"({_CLOSE})",
    re.MULTILINE,
)
# "B or C", "A, B" and "A and B" name two; "B, A is wrong" names one.
_ANOTHER = re.compile(
    rf"\s*(?:,|/|&|\bor\b|\band\b)+\s*(?:or\s|and\s)?{_OPEN}[A-Z]{_CLOSE}\s*(?:$|[.,;!?<]|or\b|and\b)",
    re.MULTILINE,
)
_CONFIRMED = re.compile(  # "B is the correct answer", "(B) is right"
    rf"(?<!{_WORD})([A-Z]){_CLOSE}\s+(?:is|must be|would be)\s+(?:clearly\s+|therefore\s+)?"
    r"(?:the\s+)?(?:most\s+likely\s+|only\s+)?(?:correct|right|best|final|answer)\b"
)
_DENIED = re.compile(
    r"(?i:(?:\b(?:not|never|neither|nor|without|rather than|instead of)|n['\u2019]t(?:\s+be)?)\s+"
    rf"(?:the\s+)?(?:option\s+|choice\s+|answer\s+)?){_OPEN}([A-Z])(?!{_WORD}|')"
    rf"|(?<!{_WORD})([A-Z]){_CLOSE}\s+"
    r"(?:(?:is|was)(?:\s+not|n['\u2019]t)|cannot be|can['\u2019]t be|"
    r"(?:is|was|looks|seems)\s+(?:wrong|incorrect|false|ruled out))\b"
)
_PREDICATE = (
    "is|was|are|as|because|since|for|and|or|so|would|must|should|seems|looks|matches|fits|shows|"
    "by|in|on|at|from|with|which|that|where|due|given|appears"
)
_ARTICLE = re.compile(rf"A\s+(?!(?:{_PREDICATE})\b)[a-z]")  # "A dog", not "A is right"

_TURNED_TO_SPACE = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_WIDE = {0xFF00 + code: 0x20 + code for code in range(1, 0x5F)}  # full-width ASCII, as in "(B)"
_LAST_WORDS = 4  # a letter among these ends the answer
_LONG = 2  # times the length of all options' words
# Characters of an option's words that a long answer does not hold by chance; in ASCII, and others.
_MEANS_SOMETHING = (3, 2)


def options(question: str) -> dict[str, str]:
    """Return the options that a question lists, letter to words; empty unless they run A, B, …"""
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


def expected_option(text: str, listed: Mapping[str, str]) -> str | None:
    """Return the letter of the option that a reference answer is, or None.

    Reads "B", "b)", "(B)", "B.", "Answer: B", "The answer is (B).", "B. the words of B", and the
    words of an option alone.
    """
    text = text.strip()
    if letter := _only_words(text, listed):
        return letter
    text = _NAMED.sub("", text, count=1).strip()
    match = _LETTER.match(text)
    if match and (not listed or match[1].upper() in listed):
        key, rest = match[1].upper(), match[2] or ""
        others = set(_ALONE.findall(rest)) & listed.keys() - {key}
        return key if not others or bare(rest) == bare(listed[key]) else None
    return _only_words(text, listed)


def choice_of(answer: str, listed: Mapping[str, str]) -> Choice | None:
    """Return the option that a model's answer names, or None if it names none or several.

    Args:
        answer: as the model wrote it, with or without an explanation.
        listed: the question's options, letter to words; any letter is an option if it is empty.
    """
    text = answer.rpartition("</think>")[2].translate(_WIDE).strip()
    if letter := _only_words(text, listed):
        return Choice(letter, "words")
    if letter := _declared(text, listed):
        return Choice(letter, "declared")
    denied = {one or other for one, other in _DENIED.findall(text)}
    alone = _letters_alone(text, listed) - denied
    if (letter := _ending_letter(text, listed)) and letter in alone:
        return Choice(letter, "alone")
    if letter := _words_within(text, listed):
        return Choice(letter, "words")
    letter = expected_option(text, listed)
    if letter and letter not in denied:
        return Choice(letter, "alone")
    if len(alone) == 1:
        return Choice(alone.pop(), "alone")
    if letter := _words_of_a_long_answer(text, listed):
        return Choice(letter, "words")
    return None


def bare(text: str) -> str:
    """Return a text in lower case, without surrounding spaces and final full stops."""
    return text.strip().casefold().rstrip(".")


def _only_words(text: str, listed: Mapping[str, str]) -> str | None:
    return _single([key for key, words in listed.items() if bare(words) == bare(text)])


def _single(found: Sequence[str]) -> str | None:
    return found[0] if len(found) == 1 else None


def _declared(text: str, listed: Mapping[str, str]) -> str | None:
    """Return the option that the last declaration names; one that names none is passed over."""
    found: list[tuple[int, str]] = []
    for mark in _DECLARES.finditer(text):
        if letter := _declared_by(text, mark.end(), listed):
            found.append((mark.start(), letter))
    for match in _CONFIRMED.finditer(text):
        if _is_option(match[1], listed):
            found.append((match.start(), match[1]))
    return max(found)[1] if found else None


def _declared_by(text: str, at: int, listed: Mapping[str, str]) -> str | None:
    match = _DECLARED_LETTER.match(text, at)
    if match and not _ARTICLE.match(text, match.start(1)):
        letter = (match[1] or match[2]).upper()
        if _is_option(letter, listed):
            return None if _ANOTHER.match(text, match.end()) else letter
    rest = text[at:].lstrip(" \t\n*_`$([{\"'\u201c").casefold()
    named = [
        (len(words), key)
        for key, words in listed.items()
        if bare(words) and re.match(rf"(?:(?:the|a|an)\s+)?{_as_words(words)}", rest)
    ]
    return max(named)[1] if named else None


def _is_option(letter: str, listed: Mapping[str, str]) -> bool:
    return letter in listed if listed else True


def _letters_alone(text: str, listed: Mapping[str, str]) -> set[str]:
    """Return the letters of options that stand alone; "I" is a word where no options are listed."""
    return {
        m[0]
        for m in _ALONE.finditer(text)
        if _is_option(m[0], listed)
        and (listed or m[0] != "I")
        and not _ARTICLE.match(text, m.start())
    }


def _ending_letter(text: str, listed: Mapping[str, str]) -> str | None:
    words = text.translate(_TURNED_TO_SPACE).split()
    letter = _single([key for key in listed if key in words])
    near_end = letter is not None and words.index(letter) >= len(words) - _LAST_WORDS
    return letter if near_end else None


def _words_within(text: str, listed: Mapping[str, str]) -> str | None:
    if len(text) > _LONG * sum(map(len, listed.values())):
        return None
    text = text.lower()
    return _single(
        [
            key
            for key, words in listed.items()
            if words and re.search(_from_a_word_on(words.lower()), text)
        ]
    )


def _words_of_a_long_answer(text: str, listed: Mapping[str, str]) -> str | None:
    text = text.casefold()
    named = [
        key for key, words in listed.items() if bare(words) and re.search(_as_words(words), text)
    ]
    letter = _single(named)
    if letter is None:
        return None
    words = bare(listed[letter])
    return letter if len(words) >= _MEANS_SOMETHING[not words.isascii()] else None


def _as_words(words: str) -> str:
    return rf"(?<!{_WORD}){re.escape(bare(words))}(?!{_WORD})"


def _from_a_word_on(words: str) -> str:
    """Return a pattern of words that start where a word does; "dogs" contains "dog"."""
    before = rf"(?<!{_WORD})(?<!\d[.,])(?<!-)" if words[0].isdigit() else rf"(?<!{_WORD})"
    after = r"(?!\d)(?![.,]\d)" if words[-1].isdigit() else ""
    return f"{before}{re.escape(words)}{after}"
