"""A path names a place, whether on disk, below the workspace, or by its bare name."""

from pathlib import Path

import pytest

from smolmix.errors import UsageError
from smolmix.pipelines.stats.run import locate


@pytest.fixture
def home(tmp_path: Path) -> str:
    for folder in ("curated/shots", "mixtures/small", "runs/first", "raw/shots", "tiles/p/shots"):
        (tmp_path / folder).mkdir(parents=True)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("path", "kind", "title"),
    [
        ("curated/shots", "samples", "curated/shots"),
        ("shots", "samples", "curated/shots"),  # curated before raw
        ("raw/shots", "raw", "raw/shots"),
        ("small", "mixture", "mixtures/small"),
        ("runs/first", "run", "runs/first"),
        ("tiles/p/shots", "stage", "tiles/p/shots"),
    ],
)
def test_a_path_below_the_workspace_and_a_bare_name(
    home: str, path: str, kind: str, title: str
) -> None:
    place = locate(path, home)
    assert (place.kind, place.title) == (kind, title)


def test_a_path_on_disk_finds_its_own_workspace(home: str, tmp_path: Path) -> None:
    place = locate(f"{home}/mixtures/small", str(tmp_path / "another"))
    assert (place.kind, place.workspace.path) == ("mixture", home)
    assert locate(home, home).kind == "workspace"


def test_an_unknown_name_lists_what_there_is(home: str) -> None:
    with pytest.raises(UsageError, match=r"curated/shots.*did you mean 'curated/shots'"):
        locate("curated/shot", home)
