"""Frames of a clip are found once, in their order, whatever their names and archives."""

import pytest

from smolmix.pipelines.layouts.media_index import Entry, MediaIndex, index_of, write_index
from smolmix.sample import MediaRef
from smolmix.storage import Folder


def _entries(archive: str, *names: str) -> list[Entry]:
    return [Entry(path=f"clip/{n}", ref=MediaRef(uri=archive, member=n)) for n in names]


@pytest.fixture
def folder(tmp_path: object) -> Folder:
    return Folder(str(tmp_path)).child("index")


def test_a_frame_that_two_archives_hold_is_one_frame(folder: Folder) -> None:
    write_index(folder, "a.parquet", _entries("a.tar", "f1.jpg", "f2.jpg", "f10.jpg"))
    write_index(folder, "b.parquet", _entries("b.tar", "f10.jpg", "f11.jpg"))
    (frames,) = MediaIndex(folder).find([], folders=["clip"]).folders.values()
    assert [(r.uri, r.member) for r in frames] == [
        ("a.tar", "f1.jpg"), ("a.tar", "f2.jpg"), ("a.tar", "f10.jpg"), ("b.tar", "f11.jpg"),
    ]  # fmt: skip


def test_odd_names_are_put_in_some_order(folder: Folder) -> None:
    names = ("12²3.jpg", "²", "2.jpg", "02.jpg", "é.jpg", "٣.jpg", "")
    write_index(folder, "a.parquet", _entries("a.tar", *names))
    (frames,) = MediaIndex(folder).find([], folders=["clip"]).folders.values()
    assert sorted(str(r.member) for r in frames) == sorted(names)


def test_an_index_says_what_it_is_of_only_when_it_is_whole(folder: Folder) -> None:
    assert index_of(folder, "a.parquet") == ""
    write_index(folder, "a.parquet", _entries("a.tar", "1.jpg"), of="abc")
    assert index_of(folder, "a.parquet") == "abc"
    folder.write_bytes("a.parquet", folder.read_bytes("a.parquet")[:-20])
    assert index_of(folder, "a.parquet") == ""
