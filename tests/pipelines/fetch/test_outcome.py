"""A corpus that is not what it is declared to be stops its fetch, which says what was seen."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from smolmix.errors import DataError, UsageError
from smolmix.pipelines.fetch.run import FetchOptions, fetch
from smolmix.pipelines.fetch.scope import Scope
from smolmix.pipelines.sources.catalogue import source_from
from smolmix.workspace import Workspace

Fetch = Callable[..., list[str]]


@pytest.fixture
def bring(tmp_path: Path) -> Fetch:
    """Return a function that fetches rows as a corpus and returns the lines that it prints."""

    def fetched(rows: list[dict[str, Any]], limit: int | None = None, **entry: Any) -> list[str]:
        data, lines = tmp_path / "data", list[str]()
        data.mkdir(exist_ok=True)
        if rows:
            data.joinpath("rows.json").write_text(json.dumps(rows))
        corpus = {"id": "own", "path": str(data), "format": "llava", "licence": "MIT"} | entry
        options = FetchOptions(scope=Scope(limit=limit), say=lines.append)
        fetch(source_from(corpus), Workspace(str(tmp_path / "ws")), options)
        return lines

    return fetched


def _rows(count: int, **more: Any) -> list[dict[str, Any]]:
    chat = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    return [{"messages": chat, **more} for _ in range(count)]


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path)


def test_text_that_is_declared_as_images_is_refused(bring: Fetch) -> None:
    with pytest.raises(DataError, match=r"modality: image.*3 text samples"):
        bring(_rows(3), modality="image")
    assert bring(_rows(3), modality="text") == []
    assert bring(_rows(3)) == []


def test_media_that_are_all_missing_are_looked_for(bring: Fetch, tmp_path: Path) -> None:
    _picture(tmp_path / "data" / "images" / "a.png")
    with pytest.raises(DataError, match=r"none of the media.*images/a\.png"):
        bring(_rows(3, image="a.png"))
    assert bring(_rows(3, image="images/a.png")) == []


@pytest.mark.parametrize("pattern", ["test", "rows"])
def test_a_heldout_pattern_that_matches_nothing_or_everything_is_refused(
    pattern: str, bring: Fetch
) -> None:
    with pytest.raises(DataError, match=rf"heldout '{pattern}' matches"):
        bring(_rows(2), heldout=pattern)


def test_a_heldout_pattern_of_a_folder_is_matched_with_its_media(
    bring: Fetch, tmp_path: Path
) -> None:
    for name in ("train/a", "test/b"):
        _picture(tmp_path / "data" / f"{name}.png")
        tmp_path.joinpath("data", f"{name}.txt").write_text("A red square.")
    with pytest.raises(DataError, match="heldout 'val' matches none of the 2 media"):
        bring([], format="folder", heldout="val")
    assert bring([], format="folder", heldout="test/") == []


def test_a_limit_that_takes_only_held_out_rows_is_refused(bring: Fetch, tmp_path: Path) -> None:
    tmp_path.joinpath("data").mkdir()
    tmp_path.joinpath("data", "a-test.json").write_text(json.dumps(_rows(5)))
    with pytest.raises(UsageError, match="only held-out rows"):
        bring(_rows(5), limit=3, heldout="test")
    assert bring(_rows(5), limit=7, heldout="test") == []


def test_keys_that_are_not_read_are_counted(bring: Fetch) -> None:
    assert bring(_rows(3, source="x")) == ["keys not read in the first 3 rows: source (3)"]
