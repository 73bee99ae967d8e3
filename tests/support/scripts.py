"""Generated texts of scripts that put no spaces between words, with Latin, digits and marks."""

import random
from collections.abc import Mapping

_HAN = "的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工"
_KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはまみむもやゆよらりるれろアイウカキク"
_THAI = "กขคงจชซญดตถทธนบปผพฟภมยรลวศสหอ"
_HANGUL = "가나다라마바사아자차카타파하거너더러머버서어저처고노도로모보소오조초구누두루무부수우주"
_LAO, _KHMER, _MYANMAR = (
    "ກຂຄງຈຊຍດຕຖທນບປຜພຟມຢຣລວສຫອຮ",
    "កខគឃងចឆជឈញតថទធនបផពភមយរលវសហអ",
    "ကခဂငစဆဇညတထဒနပဖဗမယရလဝသဟအ",
)
_LATIN = ("GPU", "Python", "the", "image", "x=1")

ALPHABETS: Mapping[str, str] = {
    "chinese": _HAN,
    "japanese": _HAN[:30] + _KANA,
    "thai": _THAI,
    "korean": _HANGUL,
    "lao": _LAO,
    "khmer": _KHMER,
    "burmese": _MYANMAR,
}
_MARKS = {"thai": "่้๊ิีุู", "lao": "່້ິີຸູ", "khmer": "ិីុូ", "burmese": "ိီုူ"}
_PUNCTUATION = {
    "chinese": "，。！「」",
    "japanese": "、。「」・",
    "thai": " ",
    "korean": " .",
    "lao": " ",
}


def written(script: str, count: int, rng: random.Random, *, mixed: bool = False) -> list[str]:
    """Return so many characters with their marks; `mixed` puts Latin words among them."""
    found = []
    for _ in range(count):
        character = rng.choice(ALPHABETS[script])
        if script in _MARKS and rng.random() < 0.4:
            character += rng.choice(_MARKS[script])
        if mixed and rng.random() < 0.04:
            character += rng.choice(_LATIN)
        found.append(character)
    return found


def punctuated(characters: list[str], script: str, rng: random.Random) -> str:
    """Return the characters as a text with the punctuation of its script."""
    marks = _PUNCTUATION.get(script, "")
    return "".join(
        c + (rng.choice(marks) if marks and rng.random() < 0.08 else "") for c in characters
    )


def near_copy(characters: list[str], script: str, rng: random.Random) -> list[str]:
    """Return a copy in which every fiftieth character is another one."""
    copy = list(characters)
    for at in range(0, len(copy), 50):
        latin = "".join(filter(str.isascii, copy[at]))
        copy[at] = rng.choice(ALPHABETS[script].replace(copy[at][0], "")) + latin
    return copy
