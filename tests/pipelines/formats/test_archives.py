"""Archives are read by position or rewritten once, and never lead out of their folder."""

import gzip
import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from smolmix.errors import DataError
from smolmix.pipelines.formats import rewrite as rewriting
from smolmix.pipelines.formats.rewrite import rewrite
from smolmix.pipelines.formats.streams import JoinedStream
from smolmix.pipelines.formats.tars import members, safe_name
from smolmix.pipelines.formats.zips import unpack, zip_members


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a/b.png", "a/b.png"),
        ("./a//b.png", "a/b.png"),
        ("a/../b.png", "b.png"),
        ("../b.png", None),
        ("a/../../b.png", None),
        ("/etc/passwd", None),
        ("..\\b.png", None),
        ("C:/b.png", None),
        ("", None),
        ("a\0b", None),
    ],
)
def test_no_member_name_leaves_the_folder(name: str, safe: str | None) -> None:
    assert safe_name(name) == safe


def _tar(path: Path, *, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # the mode is any text
        for name, data in (("a/1.png", b"one"), ("../2.png", b"two"), ("a/3.png", b"three")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"a/link{kind!r}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    return path


def test_links_devices_and_unsafe_names_are_not_offered(tmp_path: Path) -> None:
    with _tar(tmp_path / "x.tar").open("rb") as stream:
        found = list(members(stream, "x.tar"))
        assert [m.name for m in found] == ["a/1.png", "a/3.png"]
        stream.seek(found[1].offset)
        assert stream.read(found[1].size) == b"three"


def test_a_cut_tar_is_an_error_not_a_short_corpus(tmp_path: Path) -> None:
    data = _tar(tmp_path / "x.tar").read_bytes()
    with pytest.raises(DataError, match=r"x\.tar"):
        list(members(io.BytesIO(b"no tar at all" * 100), "x.tar"))
    whole = tmp_path / "y.tar.gz"
    whole.write_bytes(gzip.compress(data)[:-200])
    with whole.open("rb") as stream, pytest.raises(DataError, match="damaged"):
        rewrite([stream], "y.tar.gz", tmp_path, lambda path, number: None)


def _rewritten(parts: list[Path], tmp_path: Path, **options: int) -> list[list[tuple[str, bytes]]]:
    shards: list[list[tuple[str, bytes]]] = []

    def done(path: Path, number: int) -> None:
        with tarfile.open(path) as archive:
            assert number == len(shards)
            files = [(i.name, archive.extractfile(i)) for i in archive]
            shards.append([(name, f.read()) for name, f in files if f is not None])

    streams = [p.open("rb") for p in parts]
    rewrite(streams, parts[-1].name, tmp_path, done, **options)  # type: ignore[arg-type]  # keywords by name
    for stream in streams:
        stream.close()
    return shards


def test_a_gzipped_tar_becomes_plain_shards_of_bounded_size(tmp_path: Path) -> None:
    path = _tar(tmp_path / "x.tar.gz", mode="w:gz")
    assert _rewritten([path], tmp_path) == [[("a/1.png", b"one"), ("a/3.png", b"three")]]
    assert _rewritten([path], tmp_path, shard_bytes=1) == [
        [("a/1.png", b"one")],
        [("a/3.png", b"three")],
    ]


def test_an_archive_that_unpacks_to_absurdly_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "_FREE_BYTES", 1 << 20)
    path = tmp_path / "bomb.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("zeros")
        info.size = 8 << 20
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    with path.open("rb") as stream, pytest.raises(DataError, match="unpack to over"):
        rewrite([stream], "bomb.tar.gz", tmp_path, lambda p, n: None)


def test_a_member_of_a_zip_that_unpacks_to_absurdly_much_is_not_offered() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(8 << 20))
        archive.writestr("fine.txt", "fine")
        archive.writestr("../out.txt", "x")
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert [m.name for m in zip_members(out, "x.zip")] == ["fine.txt"]


def test_zip_members_are_what_zipfile_reads() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(50):
            archive.writestr(f"d/{number}-é.txt", f"text {number} " * number)
    with zipfile.ZipFile(out) as archive:
        expected = {i.filename: archive.read(i) for i in archive.infolist()}
    assert {m.name: unpack(out, m, "x.zip") for m in zip_members(out, "x.zip")} == expected


def test_a_damaged_zip_is_an_error() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", "some text to damage")
    data = out.getvalue().replace(b"text to", b"TEXT TO")
    (member,) = zip_members(io.BytesIO(data), "x.zip")
    with pytest.raises(DataError, match="checksum"):
        unpack(io.BytesIO(data), member, "x.zip")
    with pytest.raises(DataError, match="no zip directory"):
        list(zip_members(io.BytesIO(data[:-30]), "x.zip"))


@pytest.mark.skipif(shutil.which("zip") is None, reason="the zip program is not installed")
def test_a_zip_split_by_the_zip_program_is_read_whole(tmp_path: Path) -> None:
    import random

    chance = random.Random(0)
    expected = {}
    for number in range(6):
        expected[f"{number}.bin"] = chance.randbytes(40_000)
        (tmp_path / f"{number}.bin").write_bytes(expected[f"{number}.bin"])
    call = ["zip", "-q", "-s", "64k", "all.zip", *expected]
    subprocess.run(call, cwd=tmp_path, check=True)
    parts = [*sorted(tmp_path.glob("all.z[0-9]*")), tmp_path / "all.zip"]
    assert len(parts) > 2
    (shard,) = _rewritten(parts, tmp_path)
    assert dict(shard) == expected


def test_joined_parts_read_as_one(tmp_path: Path) -> None:
    parts = [io.BytesIO(b"abc"), io.BytesIO(b""), io.BytesIO(b"defg")]
    joined = io.BufferedReader(JoinedStream(parts), 2)
    assert joined.read() == b"abcdefg"
    joined.seek(2)
    assert joined.read(3) == b"cde"
