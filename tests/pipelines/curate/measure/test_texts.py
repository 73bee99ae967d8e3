"""Measures of text: words of the normal form, hashes, language."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.pipelines.curate.measure.texts import language, text_hash, words
from smolmix.sample import turns_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def hashed(*turns: tuple[str, object]) -> str:
    return text_hash(turns_of(*turns))  # type: ignore[arg-type]  # any text, not a literal


def test_punctuation_at_the_edge_of_words_is_removed_and_inside_it_is_kept() -> None:
    assert words("Hello,  “world” — (yes)!") == ["Hello", "world", "yes"]
    assert words("x = -3.5") != words("x = 3.5")
    assert words("3.5") != words("35")
    assert words("5!") != words("5")
    assert words(r"\Delta") != words(r"\delta")
    assert words("Is 4² even?") != words("Is 42 even?")  # raised, lowered, a fraction
    assert words("CO₂") != words("CO2")
    assert words("1½ cups") != words("11⁄2 cups")
    assert words("ﬁve caf\u00e9s") == words("five cafe\u0301s")  # one text, composed otherwise


@given(TEXT)
def test_composed_and_decomposed_text_has_the_same_words(text: str) -> None:
    assert words(unicodedata.normalize("NFC", text)) == words(unicodedata.normalize("NFD", text))


@given(st.lists(st.text("abcXYZ", min_size=1, max_size=5), max_size=8))
def test_white_space_does_not_matter(tokens: list[str]) -> None:
    assert words("  \n".join(tokens)) == words(" ".join(tokens)) == tokens


def test_the_hash_depends_on_roles_words_and_places_of_media() -> None:
    one = hashed(("user", [0, "What is it?"]), ("assistant", "A boat."))
    assert one == hashed(("user", [0, "What  is it"]), ("assistant", "“A boat”"))
    others = {
        hashed(("user", ["What is it?", 0]), ("assistant", "A boat.")),
        hashed(("user", ["What is it?"]), ("assistant", "A boat.")),
        hashed(("assistant", [0, "What is it?"]), ("user", "A boat.")),
        hashed(("user", [0, "What is it? A"]), ("assistant", "boat.")),
        hashed(("user", [0, "what is it?"]), ("assistant", "A boat.")),
    }
    assert len(others) == 5
    assert one not in others


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("yes", ""),
        ("12 + 34 = 46", ""),
        ("Quelle est la couleur de cette image ?", "fr"),
        ("Was ist die Hauptstadt von Frankreich?", "de"),
        ("Which colour is this picture, please?", "en"),
        ("这张图片里有什么东西", "zh"),
    ],
)
def test_the_language_is_known_only_with_enough_letters(text: str, code: str) -> None:
    assert language(text) == code
