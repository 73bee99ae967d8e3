"""An archive is read to its last byte or refused by name, as strangers' tools write it."""

import io
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from smolmix.errors import DataError
from smolmix.pipelines.formats.format import RawFile
from smolmix.pipelines.formats.rewrite import rewrite
from smolmix.pipelines.formats.tars import Member, entries, members
from smolmix.pipelines.formats.webdataset import WebDataset
from smolmix.pipelines.formats.zips import unpack, zip_entries, zip_members
from smolmix.storage import Folder


def _tar(*members: tuple[str, bytes], format: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _read(data: bytes) -> dict[str, bytes]:
    return {m.name: data[m.offset : m.offset + m.size] for m in members(io.BytesIO(data), "x.tar")}


FOUR = [(f"{n}.txt", b"text %d" % n * n) for n in range(4)]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_joined_tars_are_read_to_the_last_one(format: int) -> None:
    data = _tar(*FOUR[:2], format=format) + _tar(*FOUR[2:], format=format)
    assert _read(data) == dict(FOUR)


def test_every_flipped_bit_of_a_header_and_every_cut_is_an_error() -> None:
    """A cut inside the zeros at the end loses nothing and is read."""
    data = _tar(*FOUR)
    whole = data.rstrip(b"\0")
    tried = 0
    for place in range(512 + 100, 512 + 150):  # sizes, times, checksum of the second header
        bad = bytearray(data)
        bad[place] ^= 1
        if place in (512 + 155, 512 + 156):
            continue
        with pytest.raises(DataError, match=r"x\.tar"):
            _read(bytes(bad))
        tried += 1
    for cut in range(600, len(whole), 97):
        with pytest.raises(DataError, match=r"x\.tar"):
            _read(data[:cut])
        tried += 1
    assert tried > 60
    assert _read(data[:-512]) == dict(FOUR)


def test_a_compressed_tar_that_is_joined_is_rewritten_completely(tmp_path: Path) -> None:
    import gzip

    found: dict[str, bytes] = {}

    def done(path: Path, number: int) -> None:
        found.update(_read(path.read_bytes()))

    data = _tar(*FOUR[:2]) + _tar(*FOUR[2:])
    rewrite([io.BytesIO(gzip.compress(data))], "x.tar.gz", tmp_path, done)
    assert found == dict(FOUR)
    bad = bytearray(data)
    bad[512 + 110] ^= 1
    with pytest.raises(DataError, match="damaged"):
        rewrite([io.BytesIO(gzip.compress(bytes(bad)))], "x.tar.gz", tmp_path, done)


def _with_links(tmp_path: Path) -> Path:
    """Write a tar with GNU tar: hard links, links to files and folders, and links to nothing."""
    source = tmp_path / "src"
    (source / "a").mkdir(parents=True)
    (source / "a/1.png").write_bytes(b"one")
    (source / "a/2.png").hardlink_to(source / "a/1.png")
    (source / "a/0.png").symlink_to("1.png")  # before what it points at
    (source / "b").symlink_to("a")
    (source / "c.png").symlink_to("/etc/passwd")
    (source / "d.png").symlink_to("a/gone.png")
    (source / "e.png").symlink_to("e.png")
    (source / "f.png").symlink_to("../../../etc/passwd")
    path = tmp_path / "links.tar"
    subprocess.run(f"tar --sort=name -cf {path} *", shell=True, cwd=source, check=True, timeout=60)
    return path


def test_links_are_followed_inside_their_tar_and_refused_by_name_elsewhere(tmp_path: Path) -> None:
    data = _with_links(tmp_path).read_bytes()
    one = b"one"
    assert _read(data) == {
        "a/0.png": one, "a/1.png": one, "a/2.png": one, "b/1.png": one, "b/2.png": one,
    }  # fmt: skip
    refused = {m.name: m.refused for m in entries(io.BytesIO(data), "x.tar") if m.refused}
    assert sorted(refused) == ["c.png", "d.png", "e.png", "f.png"]
    assert all("link" in why for why in refused.values())


def test_links_of_a_rewritten_tar_are_links_in_its_shards(tmp_path: Path) -> None:
    path = _with_links(tmp_path)
    subprocess.run(["gzip", path.name], cwd=tmp_path, check=True, timeout=60)
    found: dict[str, bytes] = {}

    def done(shard: Path, number: int) -> None:
        found.update(_read(shard.read_bytes()))

    with (tmp_path / "links.tar.gz").open("rb") as stream:
        rewrite([stream], "links.tar.gz", tmp_path, done)
    assert sorted(found) == ["a/0.png", "a/1.png", "a/2.png", "b/1.png", "b/2.png"]
    assert set(found.values()) == {b"one"}


def _split(tmp_path: Path, data: bytes) -> int:
    (tmp_path / "s.tar").write_bytes(data)
    file = RawFile(path="s.tar", size=len(data), sha256="")
    (rows,) = WebDataset().split([file], Folder(tmp_path))
    return WebDataset().count(rows, Folder(tmp_path))


def test_a_key_that_comes_back_later_in_the_tar_names_it(tmp_path: Path) -> None:
    pairs = [("1.png", b"p"), ("2.png", b"p"), ("1.txt", b"t"), ("2.txt", b"t")]
    with pytest.raises(DataError, match=r"s\.tar: members of 1 are apart"):
        _split(tmp_path, _tar(*pairs))
    assert _split(tmp_path, _tar(*sorted(pairs))) == 2
    hidden = [one for pair in sorted(pairs) for one in ((f"._{pair[0]}", b"mac"), pair)]
    assert _split(tmp_path, _tar(*hidden)) == 2


NAMES = {
    "utf-8 without the flag": ("Übung/é.png", "utf-8", ""),
    "gbk, declared": ("图片/一.png", "gbk", "gbk"),
    "shift_jis, declared": ("写真/表.png", "shift_jis", "shift_jis"),
    "cp437": ("Übung/ä.png", "cp437", ""),
}


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_names_of_zips_are_read_as_their_writer_meant_them(kind: str, method: int) -> None:
    name, encoding, declared = NAMES[kind]
    stand_in = "x" * len(name.encode(encoding))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr(stand_in, b"data" * 30)
    data = out.getvalue().replace(stand_in.encode(), name.encode(encoding))
    (member,) = zip_members(io.BytesIO(data), "x.zip", encoding=declared)
    assert member.name == name
    assert unpack(io.BytesIO(data), member, "x.zip") == b"data" * 30


@pytest.mark.parametrize("fits", [True, False])
def test_the_unicode_path_of_info_zip_counts_where_its_checksum_fits(fits: bool) -> None:
    info = zipfile.ZipInfo("raw.png")
    crc = zlib.crc32(b"raw.png" if fits else b"other.png")
    body = struct.pack("<BI", 1, crc) + "图.png".encode()
    info.extra = struct.pack("<HH", 0x7075, len(body)) + body
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, b"x")
    assert [m.name for m in zip_members(out, "x.zip")] == ["图.png" if fits else "raw.png"]


def test_a_zip_cut_or_damaged_anywhere_is_an_error_or_its_members(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in FOUR:
            archive.writestr(name, content)
    data, tried = out.getvalue(), 0
    for cut in range(1, len(data)):
        with pytest.raises(DataError, match=r"x\.zip"):
            list(zip_members(io.BytesIO(data[:-cut]), "x.zip"))
        tried += 1
    start = data.index(b"PK\x01\x02")
    for place in range(start, len(data)):
        bad = bytearray(data)
        bad[place] ^= 0xFF
        try:
            found = list(zip_entries(io.BytesIO(bytes(bad)), "x.zip"))
        except DataError:
            found = []
        assert all(isinstance(m.refused, str) for m in found)
        tried += 1
    assert tried > 400


def test_refused_members_of_a_zip_say_why() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../out.png", "x")
    refused = {m.name: m.refused for m in zip_entries(out, "x.zip")}
    assert refused == {
        "link.png": "a link",
        "../out.png": "a name that leaves the archive's folder",
    }


def test_a_member_keeps_its_place() -> None:
    first, second = list(members(io.BytesIO(_tar(("s.2.png", b"a"), ("s.10.png", b"b"))), "x"))
    assert isinstance(first, Member)
    assert (first.name, second.name) == ("s.2.png", "s.10.png")
    assert first.offset < second.offset
