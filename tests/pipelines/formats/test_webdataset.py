"""WebDataset tars give one row a key, with texts read and media named."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from smolmix.pipelines.formats.format import RawFile, UnreadableRow
from smolmix.pipelines.formats.webdataset import WebDataset
from smolmix.storage import Folder


def _rows(
    tmp_path: Path, *members: tuple[str, bytes], format: int = tarfile.GNU_FORMAT
) -> list[Any]:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=format) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    wanted, root = WebDataset(), Folder(tmp_path)
    (rows,) = wanted.split([RawFile(path="a.tar", size=path.stat().st_size, sha256="")], root)
    found = list(wanted.read(rows, root))
    assert wanted.count(rows, root) == len(found)
    for first in range(len(found)):
        assert list(wanted.read(rows, root, first)) == found[first:]
    return [_named(raw.values, path) for raw in found]


def _named(values: Any, path: Path) -> Any:
    """Return a row with the names of its media, each of which is where the row says."""
    if isinstance(values, UnreadableRow):
        return values
    with tarfile.open(path) as archive:
        for ref in values["_media"]:
            member = archive.getmember(ref.member)
            assert (ref.uri, ref.offset, ref.bytes) == (path.name, member.offset_data, member.size)
    return values | {"_media": [ref.member for ref in values["_media"]]}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_that_share_a_stem_are_one_row(tmp_path: Path, format: int) -> None:
    found = _rows(
        tmp_path,
        ("0001.jpg", b"jpg"),
        ("0001.json", json.dumps({"caption": "A cat."}).encode()),
        ("d/0002.seg.PNG", b"png"),
        ("d/0002.txt", b"Ein Schiff."),
        format=format,
    )
    assert found == [
        {"_key": "0001", "_media": ["0001.jpg"], "caption": "A cat."},
        {"_key": "d/0002", "_media": ["d/0002.seg.PNG"], "txt": "Ein Schiff."},
    ]


def test_a_json_member_cannot_replace_the_key_or_the_media(tmp_path: Path) -> None:
    fake = json.dumps({"_key": "x", "_media": {"jpg": "/etc/passwd"}, "text": "a"}).encode()
    (found,) = _rows(tmp_path, ("1.jpg", b"j"), ("1.json", fake))
    assert found == {"_key": "1", "_media": ["1.jpg"], "text": "a"}


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("1.json", b"{", "json-broken"),
        ("1.json", b"[]", "row-not-object"),
        ("1.txt", b"\x81\x8d", "text-undecodable"),
    ],
)
def test_a_broken_member_makes_its_row_unreadable_and_no_other(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    found = _rows(tmp_path, ("0.txt", b"a"), (name, data), ("1.jpg", b"j"), ("2.txt", b"c"))
    assert [row["txt"] for row in found[::2]] == ["a", "c"]
    assert isinstance(found[1], UnreadableRow)
    assert found[1].reason == reason
