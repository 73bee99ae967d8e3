"""A JSON array cut without parsing is the array that a parser sees."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smolmix.errors import DataError
from smolmix.pipelines.formats import json_array
from smolmix.pipelines.formats.format import RawFile, UnreadableRow
from smolmix.pipelines.formats.json_array import JsonArray, Scanner, elements
from smolmix.storage import Folder

_TEXT = st.text(alphabet='\\"[]{},: \néx', max_size=12)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(
    rows=st.lists(_VALUES, min_size=1, max_size=12), ascii=st.booleans(), step=st.integers(1, 40)
)
def test_elements_are_the_arrays_elements_however_the_chunks_fall(
    rows: list[object], ascii: bool, step: int
) -> None:
    data = json.dumps(rows, ensure_ascii=ascii).encode()
    scanner, at, held, found = Scanner(), 1, b"", []
    while not scanner.closed:
        chunk = data[at : at + step]
        assert chunk
        start = 0
        for end in scanner.ends(chunk):
            found.append(held + chunk[start:end])
            held, start = b"", end + 1
        held += chunk[start:]
        at += step
    assert [json.loads(e) for e in found] == rows
    stream = io.BytesIO(data)
    assert [json.loads(e) for _, e in elements(stream, 1, None, "x")] == rows


def _ends(data: bytes) -> list[int]:
    """Return where elements end, a byte at a time."""
    found, depth, inside, escaped = [], 1, False, False
    for place, byte in enumerate(data):
        quote, char = byte == ord('"') and not escaped, chr(byte)
        escaped = char == "\\" and not escaped
        inside ^= quote
        if inside or quote:
            continue
        depth += (char in "[{") - (char in "]}")
        if depth == 0 or (depth == 1 and char == ","):
            found.append(place)
        if depth == 0:
            break
    return found


@given(
    parts=st.lists(st.sampled_from(["\\", '"', "[", "}", ",", "a", "\\" * 9, '""']), max_size=40),
    step=st.integers(1, 12),
)
def test_any_bytes_are_cut_where_a_loop_over_bytes_cuts_them(parts: list[str], step: int) -> None:
    data = "".join(parts).encode()
    scanner, found = Scanner(), list[int]()
    for at in range(0, len(data), step):
        if not scanner.closed:
            found += [at + end for end in scanner.ends(data[at : at + step])]
    assert found == _ends(data)


def _file(tmp_path: Path, data: bytes) -> tuple[RawFile, Folder]:
    (tmp_path / "rows.json").write_bytes(data)
    return RawFile(path="rows.json", size=len(data), sha256=""), Folder(tmp_path)


def _values(wanted: JsonArray, file: RawFile, root: Folder) -> list[Any]:
    pieces = wanted.split([file], root)
    found: list[Any] = [c.values for p in pieces for c in wanted.read(p, root)]
    assert len(found) == sum(wanted.count(p, root) for p in pieces)
    return found


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, {"a": 2}]',
        ' \n[\n  {"a": 1}\n,\n  {"a": 2}\n]\n',
        '{"data": [{"a": 1}, {"a": 2}], "note": "x"}',
        '{"a": 1}\n{"a": 2}\n',
        '\ufeff[{"a": 1},{"a": 2}]',
    ],
)
def test_arrays_lines_and_wrapped_arrays_are_read_alike(tmp_path: Path, text: str) -> None:
    file, root = _file(tmp_path, text.encode())
    assert _values(JsonArray(), file, root) == [{"a": 1}, {"a": 2}]


def test_an_object_of_rows_gives_rows_with_their_keys(tmp_path: Path) -> None:
    file, root = _file(tmp_path, b'{"x": {"a": 1}, "y": [2], "z": {"a": 3}}')
    found = _values(JsonArray(), file, root)
    assert found[0] == {"_key": "x", "a": 1}
    assert isinstance(found[1], UnreadableRow)
    assert found[2] == {"_key": "z", "a": 3}


def test_a_broken_element_is_one_fault_and_the_rest_is_read(tmp_path: Path) -> None:
    file, root = _file(tmp_path, b'[{"a": 1}, {"a": }, {"a": 3}, tru, {"a": 5}')
    found = _values(JsonArray(cut_bytes=1), file, root)
    assert [v if isinstance(v, UnreadableRow) else v["a"] for v in found][::2] == [1, 3, 5]
    assert sum(isinstance(v, UnreadableRow) for v in found) == 2


def test_memory_stays_small_whatever_the_size_of_the_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc

    monkeypatch.setattr(json_array, "CHUNK", 1 << 16)
    row = json.dumps({"text": "x" * 500}).encode()
    file, root = _file(tmp_path, b"[" + b",".join([row] * 20_000) + b"]")
    tracemalloc.start()
    wanted = JsonArray(cut_bytes=1 << 18)
    pieces = wanted.split([file], root)
    rows = sum(1 for p in pieces for _ in wanted.read(p, root))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 20_000
    assert len(pieces) > 20
    assert peak < 8 << 20 < file.size


def test_an_endless_element_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "CHUNK", 100)
    monkeypatch.setattr(json_array, "MAX_ELEMENT", 1_000)
    file, root = _file(tmp_path, b'[{"a": "' + b"x" * 5_000)
    with pytest.raises(DataError, match="damaged"):
        JsonArray().split([file], root)
