"""Frames of a clip are found once, in their order, whatever their names and archives."""

import unicodedata
from typing import Literal

import pytest

from smolmix.pipelines.formats.media_index import (
    IndexEntry,
    MediaIndex,
    indexed_digest,
    write_index,
)
from smolmix.sample import MediaRef
from smolmix.storage import Folder


def _entries(archive: str, *names: str) -> list[IndexEntry]:
    return [IndexEntry(path=f"clip/{n}", ref=MediaRef(uri=archive, member=n)) for n in names]


@pytest.fixture
def folder(tmp_path: object) -> Folder:
    return Folder(str(tmp_path)).child("index")


def test_a_frame_that_two_archives_hold_is_one_frame(folder: Folder) -> None:
    write_index(folder, "a.parquet", _entries("a.tar", "f1.jpg", "f2.jpg", "f10.jpg"))
    write_index(folder, "b.parquet", _entries("b.tar", "f10.jpg", "f11.jpg"))
    same = MediaIndex(folder).find([], folders=["clip"], read=lambda ref: str(ref.member).encode())
    (frames,) = same.folders.values()
    assert [(r.uri, r.member) for r in frames] == [
        ("a.tar", "f1.jpg"), ("a.tar", "f2.jpg"), ("a.tar", "f10.jpg"), ("b.tar", "f11.jpg"),
    ]  # fmt: skip


def test_a_clip_whose_frame_two_archives_hold_differently_is_ambiguous(folder: Folder) -> None:
    write_index(folder, "a.parquet", _entries("a.tar", "f1.jpg", "f10.jpg"))
    write_index(folder, "b.parquet", _entries("b.tar", "f10.jpg", "f11.jpg"))
    found = MediaIndex(folder).find([], folders=["clip"], read=lambda ref: ref.uri.encode())
    assert not found.folders
    assert [ref.uri for ref in found.ambiguous["clip"]] == ["a.tar", "b.tar"]


@pytest.mark.parametrize("same", [True, False])
def test_a_name_that_two_files_answer_is_chosen_only_between_equals(
    folder: Folder, same: bool
) -> None:
    write_index(folder, "a.parquet", _entries("a.zip", "0.png", "1.png"))
    write_index(folder, "b.parquet", _entries("b.zip", "0.png"))
    index = MediaIndex(folder)
    found = index.find(
        ["clip/0.png", "clip/1.png"], read=lambda ref: b"x" if same else ref.uri.encode()
    )
    assert sorted(found.files) == (["clip/0.png", "clip/1.png"] if same else ["clip/1.png"])
    places = [ref.uri for refs in found.ambiguous.values() for ref in refs]
    assert places == ([] if same else ["a.zip", "b.zip"])
    other = index.in_other_case(["clip/0.PNG"])
    assert [r.uri for r in other.ambiguous["clip/0.PNG"]] == ["a.zip", "b.zip"]


def test_a_file_that_is_not_read_says_why(folder: Folder) -> None:
    link = IndexEntry(path="1.png", ref=MediaRef(uri="a.tar"), refused="a link to ../1.png")
    write_index(folder, "a.parquet", [link])
    found = MediaIndex(folder).find(["1.png"])
    assert not found.files
    assert found.refused == {"1.png": "a.tar: a link to ../1.png"}


def test_an_ending_in_the_other_case_is_found_where_it_is_the_only_one(folder: Folder) -> None:
    names = ("a.JPG", "b.jpg", "b.JPG", "c.PNG", "noending", "Ä.Jpg")
    write_index(folder, "a.parquet", _entries("a.tar", *names))
    index = MediaIndex(folder)
    asked = [f"clip/{n}" for n in ("a.jpg", "b.Jpg", "c.png", "noEnding", "A.jpg", "ä.jpg")]
    assert not index.find(asked).files
    found = {name: ref.member for name, ref in index.in_other_case(asked).files.items()}
    assert found == {"clip/a.jpg": "a.JPG", "clip/c.png": "c.PNG"}


def test_odd_names_are_put_in_some_order(folder: Folder) -> None:
    names = ("12²3.jpg", "²", "2.jpg", "02.jpg", "é.jpg", "٣.jpg", "")
    write_index(folder, "a.parquet", _entries("a.tar", *names))
    (frames,) = MediaIndex(folder).find([], folders=["clip"]).folders.values()
    assert sorted(str(r.member) for r in frames) == sorted(names)


def test_an_index_says_what_it_is_of_only_when_it_is_whole(folder: Folder) -> None:
    assert indexed_digest(folder, "a.parquet") == ""
    write_index(folder, "a.parquet", _entries("a.tar", "1.jpg"), of="abc")
    assert indexed_digest(folder, "a.parquet") == "abc"
    folder.write_bytes("a.parquet", folder.read_bytes("a.parquet")[:-20])
    assert indexed_digest(folder, "a.parquet") == ""


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_however_its_accents_are_written(
    folder: Folder, form: Literal["NFC", "NFD"]
) -> None:
    names = ("Übung-1.jpg", "crème.jpg", "plain.jpg", "한글.jpg")
    packed = [unicodedata.normalize(form, n) for n in names]
    write_index(folder, "a.parquet", _entries("a.tar", *packed))
    both: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")
    asked = [unicodedata.normalize(f, f"clip/{n}") for n in names for f in both]
    found = MediaIndex(folder).find(asked)
    assert sorted(found.files) == sorted(set(asked))
    assert {r.member for r in found.files.values()} == set(packed)
    mac = [IndexEntry(path=unicodedata.normalize(form, "Café/1.jpg"), ref=MediaRef(uri="b.zip"))]
    write_index(folder, "b.parquet", mac)
    clips = {unicodedata.normalize(f, "Café") for f in both}
    assert set(MediaIndex(folder).find([], folders=clips).folders) == clips
