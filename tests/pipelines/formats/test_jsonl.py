"""JSON lines of any tool give the rows that the json module gives, however they are cut."""

import bz2
import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smolmix.errors import DataError
from smolmix.pipelines.formats.format import RawFile, RawRow, UnreadableRow
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.storage import Folder

ROWS = [{"text": f"row {n} é", "n": n} for n in range(50)]
PLAIN = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def _read(path: Path, cut_bytes: int = 64 << 20) -> list[RawRow]:
    wanted, root = JsonLines(cut_bytes=cut_bytes), Folder(path.parent)
    file = RawFile(path=path.name, size=path.stat().st_size, sha256="")
    ranges = wanted.split([file], root)
    found = [raw for rows in ranges for raw in wanted.read(rows, root)]
    assert sum(wanted.count(rows, root) for rows in ranges) == len(found)
    assert [raw.file_row for raw in found] == list(range(len(found)))
    return found


def _put(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN.removesuffix(b"\n"),
        b"\xef\xbb\xbf" + PLAIN,
        PLAIN.replace(b"\n", b"\r\n"),
        PLAIN.replace(b"\n", b"\n\n  \n"),
        gzip.compress(PLAIN),
        gzip.compress(PLAIN[:400]) + gzip.compress(PLAIN[400:]),
        zstandard.compress(PLAIN),
        zstandard.compress(PLAIN[:400]) + zstandard.compress(PLAIN[400:]),
        PLAIN.decode().encode("utf-16"),
    ],
    ids=["plain", "cut", "bom", "crlf", "empty", "gzip", "gzips", "zstd", "zstds", "utf16"],
)
@pytest.mark.parametrize("cut_bytes", [64 << 20, 300])
def test_every_spelling_of_the_lines_gives_the_same_rows(
    tmp_path: Path, data: bytes, cut_bytes: int
) -> None:
    found = _read(_put(tmp_path, data), cut_bytes)
    assert [raw.values for raw in found] == ROWS


@pytest.mark.parametrize("tool", ["gzip", "zstd"])
def test_files_that_command_line_tools_compressed_are_read(tmp_path: Path, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}")
    path = _put(tmp_path, PLAIN)
    with (tmp_path / "packed").open("wb") as out:
        subprocess.run([tool, "-c", str(path)], stdout=out, check=True)
    assert [raw.values for raw in _read(tmp_path / "packed")] == ROWS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers()), max_size=20), st.data())
def test_rows_do_not_depend_on_where_the_file_is_cut(
    tmp_path: Path, rows: list[dict[str, object]], data: st.DataObject
) -> None:
    lines = [json.dumps(row) for row in rows]
    path = _put(tmp_path, "\n".join(lines).encode())
    cut = data.draw(st.integers(1, 200))
    assert [raw.values for raw in _read(path, cut)] == [json.loads(line) for line in lines]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": ', "json-broken"),
        (b"[1]", "row-not-object"),
        (b'{"text": "\x81\x8d"}', "text-undecodable"),
        (b'{"text": "\\ud83d"}', "text-undecodable"),
        (b'{"a":' * 100_000, "json-broken"),
    ],
)
def test_a_line_that_cannot_be_read_has_a_reason_and_its_neighbours_are_kept(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    found = [raw.values for raw in _read(_put(tmp_path, b'{"n": 0}\n' + line + b'\n{"n": 2}\n'))]
    assert found[::2] == [{"n": 0}, {"n": 2}]
    assert isinstance(found[1], UnreadableRow)
    assert found[1].reason == reason


@pytest.mark.parametrize("packed", [gzip.compress(PLAIN), zstandard.compress(PLAIN)])
def test_a_compressed_file_that_is_cut_is_an_error(tmp_path: Path, packed: bytes) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl: damaged"):
        _read(_put(tmp_path, packed[: len(packed) // 2]))


def test_another_compression_is_no_json(tmp_path: Path) -> None:
    found = _read(_put(tmp_path, bz2.compress(PLAIN)))
    assert found
    assert all(isinstance(raw.values, UnreadableRow) for raw in found)
