"""Local paths of a workspace's files: a local one's own, a remote one's bounded copies."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from smolmix.errors import IntegrityError
from smolmix.tokenize.shards.local import LocalCopies
from smolmix.workspace import Workspace


@pytest.fixture
def remote() -> Iterator[Workspace]:
    """A workspace in memory with files a to e of 100 bytes each."""
    memory = fsspec.filesystem("memory")
    for name in "abcde":
        memory.pipe(f"/local-copies/tiles/{name}.arrow", name.encode() * 100)
    yield Workspace("memory://local-copies")
    memory.rm("/local-copies", recursive=True)


def kept(copies: LocalCopies) -> list[str]:
    return [p.stem for p in copies.copies()]


def test_files_of_a_local_workspace_are_not_copied(workspace: Workspace, tmp_path: Path) -> None:
    workspace.write_bytes("tiles/a.arrow", b"a")
    copies = LocalCopies(workspace, tmp_path / "copies")
    assert copies.path("tiles/a.arrow") == Path(workspace.path, "tiles", "a.arrow")
    assert not (tmp_path / "copies").exists()


def test_a_remote_file_is_downloaded_once(remote: Workspace, tmp_path: Path) -> None:
    copies = LocalCopies(remote, tmp_path)
    path = copies.path("tiles/a.arrow")
    assert path.read_bytes() == b"a" * 100
    fsspec.filesystem("memory").pipe("/local-copies/tiles/a.arrow", b"changed")
    assert copies.path("tiles/a.arrow").read_bytes() == b"a" * 100
    assert LocalCopies(remote, tmp_path).path("tiles/a.arrow") == path  # another process


def test_each_version_of_a_file_has_its_own_copy(remote: Workspace, tmp_path: Path) -> None:
    copies = LocalCopies(remote, tmp_path)
    first = copies.path("tiles/a.arrow", version="1")
    fsspec.filesystem("memory").pipe("/local-copies/tiles/a.arrow", b"second")
    assert copies.path("tiles/a.arrow", version="2").read_bytes() == b"second"
    assert first.read_bytes() == b"a" * 100


def test_the_copies_unused_for_longest_make_room(remote: Workspace, tmp_path: Path) -> None:
    copies = LocalCopies(remote, tmp_path, max_bytes=250)
    for number, name in enumerate("ab"):
        os.utime(copies.path(f"tiles/{name}.arrow"), (number, number))
    assert kept(copies) == ["a", "b"]
    copies.path("tiles/a.arrow")  # used again: b is now the oldest
    copies.path("tiles/c.arrow")
    assert sorted(kept(copies)) == ["a", "c"]


def test_a_mapped_copy_stays_readable_after_its_deletion(remote: Workspace, tmp_path: Path) -> None:
    copies = LocalCopies(remote, tmp_path, max_bytes=100)
    with copies.path("tiles/a.arrow").open("rb") as stream:
        copies.path("tiles/b.arrow")
        assert stream.read() == b"a" * 100
    assert kept(copies) == ["b"]


def test_a_missing_file_is_named_and_leaves_nothing(remote: Workspace, tmp_path: Path) -> None:
    copies = LocalCopies(remote, tmp_path)
    with pytest.raises(IntegrityError, match=r"memory://.*/tiles/z\.arrow: missing; run"):
        copies.path("tiles/z.arrow")
    assert list(tmp_path.rglob("*")) == []


def test_copies_can_be_pickled(remote: Workspace, tmp_path: Path) -> None:
    again = pickle.loads(pickle.dumps(LocalCopies(remote, tmp_path)))
    assert again.path("tiles/e.arrow").read_bytes() == b"e" * 100
