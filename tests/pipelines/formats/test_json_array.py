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
    assert sum(isinstance(v, UnreadableRow) for v in found) == 3


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


ROW = {"id": 1, "conversations": [{"from": "human", "value": "x"}]}
LINE = json.dumps(ROW)
SHAPES: dict[str, tuple[str, str, int]] = {
    # what: (file name, text, rows)
    "lines whose first is broken": ("a.jsonl", LINE[:-1] + ",}\n" + f"{LINE}\n" * 3, 4),
    "one line": ("a.jsonl", LINE, 1),
    "lines of arrays": ("a.jsonl", f"[1]\n{LINE}\n", 2),
    "lines in a .json file, the first broken": ("a.json", LINE[:-1] + ",}\n" + f"{LINE}\n" * 3, 4),
    "one object": ("a.json", json.dumps(ROW, indent=1), 1),
    "one object, its chat first": ("a.json", json.dumps(dict(reversed(ROW.items()))), 1),
    "two arrays": ("a.json", f"[{LINE}, {LINE}]\n[{LINE}]\n", 3),
    "an array in an object": ("a.json", json.dumps({"info": {"n": 1}, "data": [ROW] * 3}), 3),
    "an array in an object, keys behind it": ("a.json", json.dumps({"x": [ROW], "n": 1}), 1),
    "an empty array in an object": ("a.json", '{"data": []}', 0),
    "an empty array": ("a.json", " [ ]\n", 0),
    "an object of rows": ("a.json", json.dumps({f"k{n}": ROW for n in range(90)}), 90),
    "an array that is not closed": ("a.json", f"[{LINE}, {LINE}", 3),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_a_file_holds_the_rows_that_its_name_and_contents_say(tmp_path: Path, kind: str) -> None:
    name, text, rows = SHAPES[kind]
    (tmp_path / name).write_text(text)
    file, root = RawFile(path=name, size=len(text), sha256=""), Folder(tmp_path)
    found = _values(JsonArray(row_keys=("conversations",)), file, root)
    assert len(found) == rows
    good = [v for v in found if not isinstance(v, UnreadableRow)]
    assert all({k: v for k, v in row.items() if k != "_key"} == ROW for row in good)
    assert len(found) - len(good) == (
        "broken" in kind or "lines of arrays" in kind or "not closed" in kind
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"train": [{"a": 1}], "test": [{"a": 2}]}', r"2 arrays of rows \(train, test\)"),
        ('{\n"a": 1}\n{\n"a": 2}\n', "more follows the end of its first object"),
        ('[{"a": 1}] and more', "follows the end of its rows"),
        ('{"a": [{"b": 1}', "not closed"),
        ("<html>", "starts with"),
    ],
)
def test_bytes_that_belong_to_no_row_are_an_error(tmp_path: Path, text: str, message: str) -> None:
    file, root = _file(tmp_path, text.encode())
    with pytest.raises(DataError, match=message) as caught:
        JsonArray().split([file], root)
    assert "rows.json" in str(caught.value)


@given(
    arrays=st.lists(st.lists(_VALUES, max_size=4), min_size=1, max_size=4),
    space=st.sampled_from(["", "\n", " \n\t"]),
    cut=st.sampled_from([1, 20, 1 << 20]),
)
def test_bytes_read_are_those_in_rows_and_separators(
    tmp_path_factory: pytest.TempPathFactory, arrays: list[list[Any]], space: str, cut: int
) -> None:
    text = space.join(json.dumps(rows) for rows in arrays).encode()
    file, root = _file(tmp_path_factory.mktemp("json"), text)
    found = JsonArray(cut_bytes=cut).split([file], root)
    assert sum(r.size or 0 for r in found) == sum(map(len, arrays))
    outside, at = b"", 0
    for rows in found:
        assert rows.end is not None
        outside += text[at : rows.begin]
        at = rows.end
    assert not (outside + text[at:]).strip(b"[], \n\t")


def test_files_of_one_row_are_read_together(tmp_path: Path) -> None:
    files = []
    for n in range(5):
        (tmp_path / f"{n}.json").write_text(json.dumps({"id": n, "text": "x"}, indent=2))
        files.append(RawFile(path=f"{n}.json", size=9, sha256=""))
    wanted, root = JsonArray(row_keys=("text",)), Folder(tmp_path)
    (rows,) = wanted.split(files, root)
    assert [r.values["id"] for r in wanted.read(rows, root)] == [0, 1, 2, 3, 4]  # type: ignore[index]  # not None here
    assert [r.path for r in wanted.read(rows, root, 3)] == ["3.json", "4.json"]
    assert rows.place(2) == ("2.json", 0)
