"""Conversations about the same media become one, and every turn is kept or counted."""

import io
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from smolmix.engine.stage import RunOptions
from smolmix.pipelines.curate import policy as policies
from smolmix.pipelines.curate.across import across
from smolmix.pipelines.curate.dedup import merged_turns
from smolmix.pipelines.curate.run import curate_corpus
from smolmix.pipelines.curate.settings import Merge
from smolmix.removals import set_folder
from smolmix.sample import FIND, Media, MediaRef, Sample, turns_of
from smolmix.tokenize.chat import tokenizer
from smolmix.workspace import Workspace, part_files, stage_record

Make = Callable[..., Any]
Curate = Callable[..., Any]
MERGE = "dedup:\n  same_image: merge\n"


def png(colour: tuple[int, int, int]) -> bytes:
    image = Image.new("RGB", (40, 30), colour)
    image.putpixel((5, 5), (255 - colour[0], 0, 255))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def merged(tmp_path: Any, curated: Curate) -> Curate:
    def run(source: Any, text: str = MERGE, workers: int = 0) -> Any:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return curated(source, policy=str(path), workers=workers)

    return run


def said(sample: Sample) -> list[str]:
    return [f"{t.role}: {t.text}" for t in sample.turns]


def test_conversations_over_one_image_become_one(planted: Make, merged: Curate) -> None:
    corpus = planted()
    red, blue = (corpus.file(f"{i}.png", png((9, 99, i))) for i in range(2))
    corpus.ask("b", red, "What shape is it?", "A square.")
    corpus.ask("a", red, "What colour is it?", "Red.")
    corpus.add(
        "c",
        ("user", ["Is it\n", 0]),
        ("assistant", "Yes."),
        ("user", "Sure?"),
        ("assistant", "I am."),
        images=[red],
    )
    corpus.ask("other", blue, "What colour is it?", "Blue.")
    corpus.add("text", ("user", "What colour is it?"), ("assistant", "Which one?"))
    found = merged(corpus.write(files=2))
    assert set(found.kept) == {"a", "other", "text"}
    one = found.kept["a"]
    assert said(one) == [
        "user: What colour is it?", "assistant: Red.",
        "user: What shape is it?", "assistant: A square.",
        "user: Is it", "assistant: Yes.", "user: Sure?", "assistant: I am.",
    ]  # fmt: skip
    assert [p.media for t in one.turns for p in t.parts if p.media is not None] == [0]
    assert one.turns[0].parts[0].media == 0
    assert len(one.media) == 1
    assert (one.modality, one.category, one.cot) == ("image", "test", "none")
    assert dict(one.tags) == {merged_turns.TAG: "3"}
    assert one.answer_chars == len("Red.A square.Yes.I am.")
    texts = [p.text for t in one.turns for p in t.parts if p.text]
    assert one.text_tokens == sum(map(len, tokenizer.load().encode_batch(texts)))
    assert {k: (d.reason, d.detail) for k, d in found.dropped.items()} == {
        "b": ("merged", "from turn 3 of it on"),
        "c": ("merged", "from turn 5 of it on"),
    }
    assert {d.kept_id for d in found.dropped.values()} == {one.id}
    assert (found.fall.samples, found.fall.kept, found.fall.merged) == (5, 3, 2)
    assert any("- merged" in line for line in found.fall.lines())


def test_a_repeated_question_is_dropped_and_counted(planted: Make, merged: Curate) -> None:
    corpus = planted()
    image = corpus.file("a.png", png((9, 9, 99)))
    corpus.ask("a", image, "What colour is it?", "Blue.")
    corpus.ask("b", image, "What  colour is it", "Navy.")
    corpus.add(
        "c",
        ("user", [0, "What colour is it?"]),
        ("assistant", "Blue"),
        ("user", "And what shape?"),
        ("assistant", "A square."),
        images=[image],
    )
    found = merged(corpus.write())
    assert said(found.kept["a"])[2:] == ["user: And what shape?", "assistant: A square."]
    assert found.dropped["b"].reason == "same-question"
    assert found.dropped["b"].kept_id == found.kept["a"].id
    assert found.fall.duplicates == {"same-question": 1}
    assert found.fall.merged == 1
    assert found.fall.turns_dropped == {"same-question": 2}


def test_samples_that_a_mixture_distinguishes_or_that_are_held_out_are_never_merged(
    planted: Make, merged: Curate
) -> None:
    corpus = planted()
    image, other = (corpus.file(f"{i}.png", png((99, 9, i))) for i in range(2))
    ask = ("user", [0, "What is it?"]), ("assistant", "A thing.")
    for key, split in (("held1", "heldout"), ("held2", "heldout"), ("train", "train")):
        corpus.ask(key, image, f"Is it {key}?", "Yes.")
        corpus.rows[-1]["split"] = split
    corpus.add("ruled", ("system", "Be brief."), *ask, images=[image])
    corpus.add("ruled2", ("system", "Be brief."), ("user", [0, "Why?"]), ask[1], images=[image])
    corpus.add("several", *ask, ("user", "And?"), ask[1], images=[other])
    corpus.rows[-1]["turns"] = [
        ["user", ["Is ", 0, " like ", 1, "?"]], ["assistant", "No."],
    ]  # fmt: skip
    corpus.rows[-1]["media"].append({"kind": "image", "files": [image]})
    corpus.add("several2", ("user", [0, 1, "Which is red?"]), ask[1], images=[other, image])
    found = merged(corpus.write())
    assert set(found.kept) == {"held1", "held2", "train", "ruled", "several", "several2"}
    assert said(found.kept["ruled"])[0] == "system: Be brief."
    assert found.dropped["ruled2"].detail == "from turn 4 of it on"
    assert [said(found.kept[k]) for k in ("held1", "train")] == [
        ["user: Is it held1?", "assistant: Yes."], ["user: Is it train?", "assistant: Yes."]
    ]  # fmt: skip


def _questions(corpus: Any) -> None:
    for number in range(60):
        image = corpus.file(f"{number % 7}.png", png((number % 7, 9, 9)))
        corpus.ask(f"q{number:02d}", image, f"Is it number {number}?", "Yes." * (1 + number % 3))


@pytest.mark.parametrize("workers", [0, 2])
def test_file_order_and_workers_change_no_conversation(
    planted: Make, merged: Curate, workspace: Workspace, workers: int
) -> None:
    kept = []
    for files, reverse in ((1, False), (3, True)):
        corpus = planted()
        _questions(corpus)
        found = merged(corpus.write(files=files, reverse=reverse), workers=workers)
        kept.append({key: said(sample) for key, sample in found.kept.items()})
        assert stage_record(workspace.curated("planted")).accounting.imbalance() == ""
    assert sorted(kept[0]) == [f"q{n:02d}" for n in range(7)]
    assert kept[0] == kept[1]
    assert sum(map(len, kept[0].values())) == 120


def test_another_policy_afterwards_gives_the_unmerged_samples_back(
    planted: Make, merged: Curate
) -> None:
    corpus = planted()
    _questions(corpus)
    source = corpus.write(files=2)
    assert len(merged(source).kept) == 7
    assert len(merged(source, "dedup:\n  same_image: keep\n").kept) == 60
    longest = "dedup:\n  same_image: merge\n  merge: {max_pairs: 4}\n"
    assert {len(s.turns) for s in merged(source, longest).kept.values()} == {2, 8}


def test_merged_conversations_are_compared_across_corpora_as_merged(
    planted: Make, workspace: Workspace
) -> None:
    options = RunOptions(quiet=True)
    rules = policies.parse(MERGE, "mine.yaml")
    for name, asked in (("first", "abc"), ("second", "abc"), ("third", "abd")):
        corpus = planted(name)
        image = corpus.file("a.png", png((1, 2, 3)))
        for letter in asked:
            corpus.ask(letter, image, f"Is it {letter}?", "Yes.")
        assert curate_corpus(corpus.write(), rules, workspace, options=options).accounting.kept == 1
    across(["first", "second", "third"], rules, workspace, options=options)
    folder = set_folder(workspace, ["first", "second", "third"])
    import pyarrow.parquet as pq

    rows = [r for n in part_files(folder) for r in pq.read_table(folder.local(n)).to_pylist()]
    assert [(r["id"].split("/")[0], r["kept_id"].split("/")[0]) for r in rows] == [
        ("second", "first")
    ]


def test_pictures_that_are_not_fetched_are_distinguished_by_name(
    planted: Make, merged: Curate, workspace: Workspace
) -> None:
    corpus = planted()
    for key, name in (("a", "1.png"), ("b", "2.png"), ("c", "1.png")):
        corpus.ask(key, FIND + name, f"What of {key}?", "All.")
    source, fetched = corpus.write(), workspace.raw("planted")
    record = fetched.read_json("fetch.json") | {"scope": {"annotations": True}}
    fetched.write_json("fetch.json", record)
    found = merged(source)
    assert {key: len(s.turns) for key, s in found.kept.items()} == {"a": 4, "b": 2}
    assert found.fall.not_fetched == 3


def _sample(number: int, pairs: list[tuple[str, str]]) -> Sample:
    turns: list[tuple[Any, Any]] = []
    for i, (question, answer) in enumerate(pairs):
        turns += [("user", [0, question] if i == 0 else question), ("assistant", answer)]
    medium = Media(kind="image", refs=(MediaRef(uri="a"),), digest="0" * 32)
    return Sample(
        id=f"c//{number:03d}", corpus="c", modality="image", category="vqa", licence="MIT",
        source_file="f", source_row=number, turns=turns_of(*turns), media=(medium,),
        text_tokens=3 * len(pairs),
    )  # fmt: skip


words = st.sampled_from(["red", "blue", "green", "square", "round"])
talks = st.lists(st.tuples(words, words), min_size=1, max_size=4)


@given(st.lists(talks, max_size=12), st.integers(2, 6), st.integers(3, 40))
def test_every_sample_is_accounted_for_and_every_pair_appears_once(
    asked: list[list[tuple[str, str]]], max_pairs: int, max_text_tokens: int
) -> None:
    policy = Merge(max_pairs=max_pairs, max_text_tokens=max_text_tokens)
    samples = [_sample(i, pairs) for i, pairs in enumerate(asked)]
    found = list(merged_turns.join(samples, policy))
    parts = [[j.head, *(s for s, _ in j.into), *j.repeated] for j in found]
    assert Counter(s.id for part in parts for s in part) == Counter(s.id for s in samples)
    for joined, part in zip(found, parts, strict=True):
        turns = joined.sample.turns
        assert [t.role for t in turns] == ["user", "assistant"] * (len(turns) // 2)
        assert [p.media for t in turns for p in t.parts if p.media is not None] == [0]
        if joined.into:
            assert len(turns) <= 2 * max_pairs
            assert joined.text_tokens <= max_text_tokens
        now = Counter((q.text, a.text) for q, a in zip(turns[::2], turns[1::2], strict=True))
        before = {pair for s in part for pair in asked[s.source_row]}
        alone = {q for s in joined.repeated for q, _ in asked[s.source_row]}
        assert set(now) <= before
        assert all(pair in now or pair[0] in alone for pair in before)
        for sample, first in joined.into:
            pairs = asked[sample.source_row]
            assert (turns[first - 1].text, turns[first].text) in pairs


def test_a_removal_that_changes_while_others_do_not_is_applied(
    planted: Make, merged: Curate
) -> None:
    corpus = planted()
    image = corpus.file("a.png", png((3, 2, 1)))
    corpus.ask("a", image, "What colour is it?", "Black.")
    corpus.ask("b", image, "What shape is it?", "None.")
    corpus.add("text", ("user", "What colour is coal?"), ("assistant", "Black."))
    source = corpus.write()
    assert set(merged(source, "dedup: {same_image: keep}\n").kept) == {"a", "b", "text"}
    found = merged(source, "dedup: {same_image: one}\n")
    assert set(found.kept) == {"a", "text"}
    assert found.dropped["b"].reason == "same-image"
