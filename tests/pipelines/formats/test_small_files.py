"""One row a file or a group of members: a bad one is one fault, whatever it holds."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from smolmix.errors import DataError
from smolmix.pipelines.formats.format import FileFormat, RawFile, UnreadableRow
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.formats.small_files import JsonFiles
from smolmix.pipelines.formats.webdataset import WebDataset
from smolmix.storage import Folder

DEEP = b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BAD = {"deep": DEEP, "cut": b'{"text": "a', "list": b"[1]", "bytes": b'{"text": "\x81"}'}


def _rows(wanted: FileFormat, root: Folder, *paths: str) -> list[Any]:
    files = [RawFile(path=p, size=root.local(p).stat().st_size, sha256="") for p in sorted(paths)]
    (piece,) = wanted.split(files, root)
    found = list(wanted.read(piece, root))
    assert [c.row for c in found] == list(range(wanted.count(piece, root)))
    return [c.values for c in found]


def _tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_file_that_is_no_object_is_one_fault(tmp_path: Path, kind: str) -> None:
    (tmp_path / "a.json").write_bytes(b'{"text": "first"}')
    (tmp_path / "b.json").write_bytes(BAD[kind])
    (tmp_path / "c.json").write_bytes(b'{"text": "last"}')
    first, bad, last = _rows(JsonFiles(), Folder(tmp_path), "a.json", "b.json", "c.json")
    assert (first, last) == ({"text": "first"}, {"text": "last"})
    assert isinstance(bad, UnreadableRow)


@pytest.mark.parametrize("kind", sorted(BAD))
def test_a_member_that_is_no_object_is_one_fault(tmp_path: Path, kind: str) -> None:
    good = json.dumps({"caption": "x"}).encode()
    members = {"1.jpg": b"j", "1.json": good, "2.json": BAD[kind], "2.jpg": b"j", "3.json": good}
    _tar(tmp_path / "a.tar", members)
    first, bad, last = _rows(WebDataset(), Folder(tmp_path), "a.tar")
    assert first == {"_key": "1", "_media": first["_media"], "caption": "x"}
    assert [ref.member for ref in first["_media"]] == ["1.jpg"]
    assert last == {"_key": "3", "_media": (), "caption": "x"}
    assert isinstance(bad, UnreadableRow)
    assert bad.detail.startswith("2.json: ")


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
@pytest.mark.parametrize("damage", ["cut", "torn"])
def test_a_damaged_compressed_file_is_an_error_not_a_short_corpus(
    tmp_path: Path, pack: Callable[[bytes], bytes], damage: str
) -> None:
    lines = "".join(json.dumps({"text": str(n**7)}) + "\n" for n in range(5000))
    packed = pack(lines.encode())
    half = len(packed) // 2
    torn = packed[:half] + bytes(b ^ 0x5A for b in packed[half : half + 64]) + packed[half + 64 :]
    (tmp_path / "a.jsonl").write_bytes(packed[:half] if damage == "cut" else torn)
    with pytest.raises(DataError, match=r"a\.jsonl: damaged .*fetch again"):
        _rows(JsonLines(), Folder(tmp_path), "a.jsonl")


def test_a_members_own_keys_never_pass_for_the_groups(tmp_path: Path) -> None:
    own = json.dumps({"_media": ["/etc/passwd"], "_key": "other", "caption": "x"}).encode()
    _tar(tmp_path / "a.tar", {"1.json": own, "1.jpg": b"j"})
    (row,) = _rows(WebDataset(), Folder(tmp_path), "a.tar")
    assert [ref.member for ref in row["_media"]] == ["1.jpg"]
    assert row == {"_key": "1", "_media": row["_media"], "caption": "x"}
