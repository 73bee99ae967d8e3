"""A scope chooses files in order, rows first, and is kept in fetch.json."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.pipelines.fetch.download import Target
from smolmix.pipelines.fetch.listing import Remote
from smolmix.pipelines.fetch.scope import Scope


def _remote(path: str, size: int | None, kind: Literal["rows", "media"]) -> Remote:
    return Remote(path=path, kind=kind, target=Target(url=path, size=size))


FILES = (
    _remote("a/1.parquet", 10, "rows"),
    _remote("b/2.parquet", 20, "rows"),
    _remote("a/m.tar", 30, "media"),
    _remote("b/m.tar", 40, "media"),
)


@pytest.mark.parametrize(
    ("scope", "paths"),
    [
        (Scope(), ["a/1.parquet", "b/2.parquet", "a/m.tar", "b/m.tar"]),
        (Scope(files=("a/*",)), ["a/1.parquet", "a/m.tar"]),
        (Scope(files=("a/*", "*.parquet")), ["a/1.parquet", "b/2.parquet", "a/m.tar"]),
        (Scope(annotations=True), ["a/1.parquet", "b/2.parquet"]),
        (Scope(max_bytes=60), ["a/1.parquet", "b/2.parquet", "a/m.tar"]),
        (Scope(max_bytes=5), []),
        (Scope(selected=(("b/m.tar", ()),)), ["b/m.tar"]),
        (
            Scope(selected=(("b/m.tar", ()), ("a/1.parquet", (3,))), annotations=True),
            ["a/1.parquet", "b/2.parquet", "b/m.tar"],
        ),
    ],
)
def test_files_in_scope(scope: Scope, paths: list[str]) -> None:
    assert [f.path for f in scope.of(FILES)] == paths


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(0, 200))
def test_max_bytes_is_never_exceeded_and_no_file_that_fits_next_is_omitted(
    sizes: list[int], most: int
) -> None:
    files = tuple(_remote(f"{n}.parquet", size, "rows") for n, size in enumerate(sizes))
    found = Scope(max_bytes=most).of(files)
    assert found == files[: len(found)]
    assert sum(sizes[: len(found)]) <= most
    if len(found) < len(sizes):
        assert sum(sizes[: len(found) + 1]) > most


def test_what_a_mixture_needs_is_kept_as_one_digest() -> None:
    one, two = (Scope(selected=(("a", rows),)).to_json() for rows in ((1,), (2,)))
    assert one["selected"] != two["selected"] != ""
    assert Scope(limit=3, files=("a",)).to_json() == {
        "limit": 3,
        "files": ["a"],
        "max_bytes": None,
        "selected": "",
        "annotations": False,
    }


def test_media_for_a_mixture_are_added_to_rows_that_were_fetched_alone() -> None:
    rows = Scope(annotations=True, limit=5, files=("a/*",)).to_json()
    needed = Scope(selected=(("b/m.tar", ()),))
    both = needed.in_addition_to(rows)
    assert (both.limit, both.files, both.annotations) == (5, ("a/*",), True)
    assert both.selected == needed.selected
    assert needed.in_addition_to(Scope().to_json()) == needed
    assert Scope(limit=9).in_addition_to(rows) == Scope(limit=9)
