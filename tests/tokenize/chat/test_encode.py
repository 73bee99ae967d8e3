"""Token ids equal transformers' processor; the loss counts answers and their ends."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.support.conversations import conversation, conversations, picture

from smolmix import cost
from smolmix.profiles import PIXEL_PRESETS, ChatProfile, Profile, profile
from smolmix.sample import Media, Sample, turns_of
from smolmix.tokenize.chat import encode, special
from smolmix.tokenize.chat.tokenizer import Vocabulary

STYLES = ("inference", "released", "paper")


def _sample(*answers: str, media: bool = True) -> Sample:
    turns = []
    for i, answer in enumerate(answers):
        turns += [("user", [0, "Why?"] if media and i == 0 else "And?"), ("assistant", answer)]
    shown = (Media(kind="image", refs=(), width=64, height=64),) if media else ()
    return Sample(
        id="c/0", corpus="c", modality="image", category="vqa",
        turns=turns_of(*turns),  # type: ignore[arg-type]  # any text, not a literal
        media=shown, licence="cc0", source_file="f", source_row=0,
    )  # fmt: skip


def _supervised(sample: Sample, made: Profile, vocabulary: Vocabulary) -> list[str]:
    one = next(encode.encode([sample], made, vocabulary))
    return [vocabulary.decode(one.input_ids[a:b].tolist()) for a, b in one.spans]


@pytest.mark.parametrize("style", STYLES)
def test_only_answers_and_their_ends_are_supervised(style: str, vocabulary: Vocabulary) -> None:
    made = profile("nano", style=style)  # type: ignore[arg-type]  # any text, not a literal
    spans = _supervised(_sample("Cat", "User: is a word\nUser: too"), made, vocabulary)
    assert spans == [" Cat<end_of_utterance>", " User: is a word\nUser: too<end_of_utterance>"]


def test_a_one_word_answer_has_two_supervised_tokens(vocabulary: Vocabulary) -> None:
    """The published mask leaves ten, eight of them template."""
    made = profile("256m", style="released")
    assert next(encode.encode([_sample("cat")], made, vocabulary)).supervised == 2


@given(answers=st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=3))
def test_spans_spell_the_answers_whatever_they_are(
    answers: list[str], vocabulary: Vocabulary
) -> None:
    # SmolLM2's alphabet lacks 21 bytes, which no common text holds; they are lost in encoding.
    assume(all(vocabulary.decode(vocabulary.encode(a)) == a for a in answers))
    for style in STYLES:
        made = profile("nano", style=style)  # type: ignore[arg-type]  # any text, not a literal
        wanted = [a.strip() if style == "released" else a for a in answers]
        found = _supervised(_sample(*answers), made, vocabulary)
        assert found == [f" {a}<end_of_utterance>" for a in wanted]


SPECIALS = [*special.SPECIAL, "<repo_name>", "<row_1_col_1><image>", "<end_of_utterance>\nUser:"]


@pytest.mark.parametrize("style", STYLES)
def test_special_strings_in_data_become_plain_text(style: str, vocabulary: Vocabulary) -> None:
    made = profile("nano", style=style)  # type: ignore[arg-type]  # any text, not a literal
    known = set(special.SPECIAL.values())

    def specials(sample: Sample) -> list[int]:
        ids = next(encode.encode([sample], made, vocabulary)).input_ids.tolist()
        return [i for i in ids if i in known]

    clean = specials(_sample("x"))
    for text in SPECIALS:
        assert specials(_sample(f"x{text}y")) == clean
        assert vocabulary.decode(vocabulary.encode(text)) == text
    assert len(SPECIALS) > 130


def test_full_loss_supervises_all_but_the_pixels(vocabulary: Vocabulary) -> None:
    made = Profile(pixel=PIXEL_PRESETS["nano"], chat=ChatProfile(style="inference", loss="full"))
    one = next(encode.encode([_sample("Cat")], made, vocabulary))
    free = "".join(vocabulary.decode(one.input_ids[a:b].tolist()) for a, b in one.spans)
    assert free == "User:Why?<end_of_utterance>\nAssistant: Cat<end_of_utterance>\n"


def test_a_document_is_its_text_and_an_end_all_supervised(vocabulary: Vocabulary) -> None:
    text = "def f():\n    return 1\n"
    sample = Sample(
        id="c/0", corpus="c", modality="text", category="code", turns=turns_of(("assistant", text)),
        licence="cc0", source_file="f", source_row=0,
    )  # fmt: skip
    for style in STYLES:
        made = profile("nano", style=style)  # type: ignore[arg-type]  # any text, not a literal
        one = next(encode.encode([sample], made, vocabulary))
        assert one.input_ids.tolist() == [*vocabulary.encode(text), 0]
        assert one.spans == ((0, len(one.input_ids)),)


def test_labels_are_ids_where_supervised(vocabulary: Vocabulary) -> None:
    one = next(encode.encode([_sample("a b c", "d")], profile("nano"), vocabulary))
    labels = one.labels()
    assert (labels != -100).sum() == one.supervised
    assert all(labels[i] == one.input_ids[i] for a, b in one.spans for i in range(a, b))


@pytest.mark.parametrize("preset", sorted(PIXEL_PRESETS))
def test_ids_equal_transformers(
    preset: str, reference: Callable[[str], Any], vocabulary: Vocabulary
) -> None:
    made = reference(preset)
    samples = conversations()
    for sample, ours in zip(samples, encode.encode(samples, made.profile, vocabulary), strict=True):
        assert ours.input_ids.tolist() == made.ids(sample)
        counted = next(encode.count([sample], made.profile, vocabulary))
        assert counted.tokens == len(ours.input_ids)
        assert counted.visual_tokens == cost.visual_tokens(sample.media, made.profile.pixel)
        assert counted.tiles == cost.media_tiles(sample.media, made.profile.pixel)
    assert len(samples) >= 20


def test_position_tokens_may_be_spelled_out(vocabulary: Vocabulary) -> None:
    one = conversation(("user", [0, "Q"]), ("assistant", "A"), media=(picture(64, 64),))
    spelled = Profile(
        pixel=PIXEL_PRESETS["nano"], chat=ChatProfile(style="inference", position_tokens="string")
    )
    learned, string = (
        next(encode.encode([one], p, vocabulary))
        for p in (profile("nano", style="inference"), spelled)
    )
    assert vocabulary.decode(string.input_ids.tolist()) == vocabulary.decode(
        learned.input_ids.tolist()
    )
    assert special.SPECIAL["<row_1_col_1>"] not in string.input_ids
    assert len(string.input_ids) > len(learned.input_ids) + 4 * 5
    assert next(encode.count([one], spelled, vocabulary)).tokens == len(string.input_ids)
