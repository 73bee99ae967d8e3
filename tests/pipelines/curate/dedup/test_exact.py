"""Exact duplicates: one copy of each text and media is kept, and which one is fixed."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.filtered import write_filtered

from smolmix import removals
from smolmix.engine.stage import RunOptions
from smolmix.pipelines.curate.dedup import exact
from smolmix.pipelines.curate.steps import Steps
from smolmix.workspace import Workspace

Row = dict[str, Any]


def find(
    workspace: Workspace, corpora: Mapping[str, list[Row]], **options: Any
) -> dict[str, dict[str, Any]]:
    """Return the removals by id."""
    steps = Steps(workspace=workspace, options=RunOptions(quiet=True))
    inputs = [
        write_filtered(steps, name, [rows[::2], rows[1::2]], rank=rank)
        for rank, (name, rows) in enumerate(corpora.items())
    ]
    given_options = {"clusters": None, "same_image": "keep", **options}
    folder = exact.find(steps, "tried", inputs, 10, **given_options)
    return {r["id"]: r for r in removals.read(folder).to_pylist()}


def row(name: str, text: str = "t", media: tuple[str, ...] = (), **more: Any) -> Row:
    return {"id": name, "text_hash": text, "media": list(media), **more}


def test_equal_text_and_media_are_copies_and_the_smallest_id_is_kept(workspace: Workspace) -> None:
    rows = [row("b"), row("a"), row("c"), row("d", "other"), row("e", "t", ("m",))]
    found = find(workspace, {"c": rows})
    assert {name: r["kept_id"] for name, r in found.items()} == {"b": "a", "c": "a"}
    assert {(r["stage"], r["reason"]) for r in found.values()} == {("dedup", "duplicate-exact")}


def test_the_copy_with_more_pixels_is_kept(workspace: Workspace) -> None:
    rows = [row("a", media=("m",), pixels=99), row("b", media=("m",), pixels=100)]
    assert set(find(workspace, {"c": rows})) == {"a"}


def test_media_count_in_their_order(workspace: Workspace) -> None:
    rows = [row("a", media=("m", "n")), row("b", media=("n", "m"))]
    assert find(workspace, {"c": rows}) == {}


def test_dropped_rows_are_no_copies(workspace: Workspace) -> None:
    rows = [row("a", reason="answer-empty"), row("b"), row("c")]
    assert set(find(workspace, {"c": rows})) == {"c"}


def test_heldout_samples_are_kept_and_their_training_copies_are_contaminated(
    workspace: Workspace,
) -> None:
    rows = [row("a"), row("y", split="heldout"), row("z", split="heldout")]
    found = find(workspace, {"c": rows})
    assert set(found) == {"a"}
    assert (found["a"]["stage"], found["a"]["reason"]) == ("decontaminate", "contaminated-heldout")
    assert found["a"]["kept_id"] == "y"


def test_the_corpus_of_the_lower_rank_keeps_its_copy(workspace: Workspace) -> None:
    corpora = {"first": [row("z"), row("y")], "second": [row("a"), row("b", "other")]}
    assert set(find(workspace, corpora)) == {"a", "z"}
    assert set(find(workspace, corpora, across=True)) == {"a"}  # only copies in other corpora


@pytest.mark.parametrize(
    ("same_image", "dropped"), [("keep", set()), ("one", {"b"}), ("merge", set())]
)
def test_same_image_one_keeps_one_conversation_for_each_image(
    workspace: Workspace, same_image: str, dropped: set[str]
) -> None:
    rows = [row("a", "one", ("m",)), row("b", "two", ("m",)), row("c", "x"), row("d", "y")]
    found = find(workspace, {"c": rows}, same_image=same_image)
    assert set(found) == dropped
    assert {r["reason"] for r in found.values()} <= {"same-image"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from("tuv"), st.sampled_from(["", "m", "n"]), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_one_training_copy_at_most_is_left_of_each_key(
    workspace: Workspace, drawn: list[tuple[str, str, bool]]
) -> None:
    rows = [
        row(f"i{n}", text, (medium,) if medium else (), split="heldout" if held else "train")
        for n, (text, medium, held) in enumerate(drawn)
    ]
    removed = set(find(workspace, {"c": rows}))
    keys = [(text, medium) for text, medium, _ in drawn]
    for key in set(keys):
        same = [n for n, k in enumerate(keys) if k == key]
        held = [n for n in same if drawn[n][2]]
        wanted = set(held) if held else {same[0]}
        assert {n for n in same if f"i{n}" not in removed} == wanted
