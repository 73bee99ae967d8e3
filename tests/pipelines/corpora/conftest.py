"""Publishes a corpus the way its publisher does, from a small fixture of rows.

A fixture is JSON: `rows` (file -> rows), `archives` (archive -> members), `expect`. In rows,
`{"$png": name}` is an image cell, `{"$mp4": name}` a clip, `{"$raw": text}` and `{"$latin1": text}`
lines or elements written as they stand, `{"$object": {...}}` a file that is an object of rows.
"""

import gzip
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from PIL import Image

from smolmix.pipelines.corpora.demo import moving_shapes
from smolmix.pipelines.fetch.run import FetchOptions, fetch
from smolmix.pipelines.sources.source import Http, Source
from smolmix.workspace import Workspace

FIXTURES = Path(__file__).parent / "fixtures"
Publish = Callable[..., dict[str, Any]]
Install = Callable[..., Workspace]


def fixture_of(source: Source) -> dict[str, Any]:
    name = source.id
    if source.role == "benchmark":
        name = "_benchmark_json" if source.rows_in == ("*.json",) else "_benchmark"
    found: dict[str, Any] = json.loads((FIXTURES / f"{name}.json").read_text())
    return found


@cache
def png(name: str) -> bytes:
    out = io.BytesIO()
    noise = random.Random(name).randbytes(24 * 16 * 3)  # over 150 bytes: olah takes less for LFS
    Image.frombytes("RGB", (24, 16), noise).save(out, "PNG")
    return out.getvalue()


@cache
def mp4(name: str) -> bytes:
    clip = moving_shapes.encoded(moving_shapes.draw_clip("train-0000"))
    note = name.encode()
    return clip + (len(note) + 8).to_bytes(4, "big") + b"free" + note


def media_bytes(name: str) -> bytes:
    return mp4(name) if name.lower().endswith(".mp4") else png(name)


def _cell(value: Any) -> Any:
    if isinstance(value, dict) and "$png" in value:
        data = None if value["$png"] is None else png(value["$png"])
        return {"bytes": data, "path": None}
    if isinstance(value, dict) and "$mp4" in value:
        return mp4(value["$mp4"])
    if isinstance(value, dict):
        return {k: _cell(v) for k, v in value.items()}
    return [_cell(v) for v in value] if isinstance(value, list) else value


def _text(row: Any) -> bytes:
    if isinstance(row, dict) and "$raw" in row:
        return str(row["$raw"]).encode()
    if isinstance(row, dict) and "$latin1" in row:
        return str(row["$latin1"]).encode("latin-1")
    return json.dumps(row, ensure_ascii=True).encode()


def write_rows(path: Path, rows: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([_cell(r) for r in rows]), path, row_group_size=2)
    elif path.suffix == ".json" and path.parent.name == "jsons":
        path.write_bytes(_text(rows[0]))
    elif path.suffix == ".json" and isinstance(rows, dict):
        path.write_text(json.dumps(rows["$object"], indent=1))
    elif path.suffix == ".json":
        path.write_bytes(b"[\n" + b",\n".join(map(_text, rows)) + b"\n]\n")
    else:
        data = b"\n".join(map(_text, rows)) + b"\n"
        if path.suffix == ".gz":
            data = gzip.compress(data, mtime=0)
        elif path.suffix == ".zst":
            data = zstandard.compress(data)
        path.write_bytes(data)


def _member(member: Any) -> tuple[str, bytes]:
    if isinstance(member, str):
        return member, media_bytes(member)
    if "$file" in member:
        return member["$file"], member["text"].encode()
    lines = [f'<annotation type="{k}">{v}</annotation>' for k, v in member["annotations"].items()]
    lines += [f'<trace id="{n}">{t}</trace>' for n, t in enumerate(member["traces"])]
    ink = f'<ink xmlns="http://www.w3.org/2003/InkML">{"".join(lines)}</ink>'
    return member["$ink"], ink.encode()


def write_archive(path: Path, members: Iterable[Any] | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if members is None:
        path.write_bytes(media_bytes(path.name))
        return
    found = [_member(m) for m in members]
    if ".zip" in path.name:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for number, (name, data) in enumerate(found):
                method = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
                archive.writestr(zipfile.ZipInfo(name), data, method)
        data = out.getvalue()
        if path.name.endswith("part-aa"):
            half = len(data) // 2
            path.with_name(path.name.replace("part-aa", "part-ab")).write_bytes(data[half:])
            data = data[:half]
        path.write_bytes(data)
        return
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in found:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def split_zip(path: Path, parts: int = 2) -> None:
    """Split a zip the way `zip -s` does: .z01, …, and last the .zip with the directory."""
    data = path.read_bytes()
    marked = b"PK\x07\x08" + data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        cut = sorted(i.header_offset for i in archive.infolist())[len(archive.infolist()) // 2]
        directory = archive.start_dir
    cut += 4
    central = bytearray(marked[directory + 4 :])
    at = 0
    while central[at : at + 4] == b"PK\x01\x02":
        offset = int.from_bytes(central[at + 42 : at + 46], "little") + 4
        disk, offset = (0, offset) if offset < cut else (parts - 1, offset - cut)
        central[at + 34 : at + 36] = disk.to_bytes(2, "little")
        central[at + 42 : at + 46] = offset.to_bytes(4, "little")
        at += 46 + sum(int.from_bytes(central[at + n : at + n + 2], "little") for n in (28, 30, 32))
    last = (parts - 1).to_bytes(2, "little")
    central[at + 4 : at + 6] = central[at + 6 : at + 8] = last
    central[at + 16 : at + 20] = (directory + 4 - cut).to_bytes(4, "little")
    path.with_suffix(".z01").write_bytes(marked[:cut])
    path.write_bytes(marked[cut : directory + 4] + bytes(central))


@pytest.fixture
def publish() -> Publish:
    """Write a corpus's fixture as published files into a folder; returns the fixture."""

    def write(
        source: Source,
        folder: Path,
        *,
        backwards: bool = False,
        fixture: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        fixture = fixture_of(source) if fixture is None else fixture
        for name, rows in fixture["rows"].items():
            ordered = rows[::-1] if backwards and isinstance(rows, list) else rows
            write_rows(folder / name, ordered)
        for name, members in fixture.get("archives", {}).items():
            write_archive(folder / name, members)
        if "split_zip" in fixture:
            split_zip(folder / fixture["split_zip"])
        for name in fixture.get("user_media", ()):
            (folder.parent / "user").mkdir(exist_ok=True)
            (folder.parent / "user" / name).write_bytes(media_bytes(name))
        return fixture

    return write


@pytest.fixture
def install(site: Any) -> Install:
    """Fetch a published folder from a server on loopback."""

    def run(source: Source, folder: Path, workspace: Path, **options: Any) -> Workspace:
        urls = []
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            place = path.relative_to(folder).as_posix()
            if source.holds_rows(place) or source.holds_media(place):
                address = f"/{source.id}/{quote(place)}"
                site.files[address] = path.read_bytes()
                urls.append((place, f"{site.url}{address}"))
        if (folder.parent / "user").exists():
            options.setdefault("media", str(folder.parent / "user"))
        served = replace(source, origin=Http(urls=tuple(urls), revision="0" * 40), gated=False)
        space = Workspace(workspace)
        assert fetch(served, space, FetchOptions(**options)).corpus == source.id
        return space

    return run
