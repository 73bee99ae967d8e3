"""A user's own data comes in by a YAML file, without code."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smolmix.errors import DataError, UsageError
from smolmix.media import MediaReader
from smolmix.pipelines.corpora import source_of
from smolmix.pipelines.fetch.run import fetch
from smolmix.pipelines.sources.catalogue import read_catalogue
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.sample import Sample
from smolmix.workspace import Workspace


def _write(folder: Path) -> None:
    folder.mkdir()
    chat = [{"from": "human", "value": "<image> Q?"}, {"from": "gpt", "value": "A."}]
    (folder / "1.png").write_bytes(b"png one")
    (folder / "1.txt").write_text("A caption.")
    (folder / "clip.mp4").write_bytes(b"a clip")
    (folder / "clip.txt").write_text("A clip's caption.")
    rows = [
        {"id": 1, "image": "1.png", "conversations": chat},
        {"id": 2, "image": "gone.png", "conversations": chat},
        {"id": 3, "image": "1.png", "question": "no chat"},
    ]
    (folder / "rows.json").write_text(json.dumps(rows))
    texts = [{"user": "Q", "assistant": "A"}]
    table = [{"images": [{"bytes": b"png", "path": None}], "texts": texts, "note": "x"}]
    pq.write_table(pa.Table.from_pylist(table), folder / "rows.parquet")
    with tarfile.open(folder / "shard.tar", "w") as archive:
        for name, data in (("k1.jpg", b"jpg"), ("k1.txt", b"Words."), ("k2.json", b"{}")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def _read(
    format: str, tmp_path: Path, files: str = "[]"
) -> tuple[list[Sample], list[tuple[str, str]], Workspace]:
    if not (tmp_path / "mine").exists():
        _write(tmp_path / "mine")
    (tmp_path / "own.yaml").write_text(
        f"corpora:\n  - id: own-data\n    path: mine\n    format: {format}\n"
        f"    licence: CC0-1.0\n    category: chart\n    files: {files}\n"
    )
    workspace = Workspace(tmp_path / f"ws-{format}")
    fetch(read_catalogue(str(tmp_path / "own.yaml"))["own-data"], workspace)
    source = source_of("own-data", workspace)
    found = [a for u in raw_units(source, workspace) for a in read_unit(source, u, workspace)]
    drops = [(d.reason, f"{d.source_file}#{d.source_row}") for a in found for d in a.dropped]
    return [s for a in found for s in a.samples], drops, workspace


@pytest.mark.parametrize(
    ("format", "count", "media"),
    [("llava", 1, b"png one"), ("parquet", 1, b"png"), ("webdataset", 1, b"jpg")],
)
def test_each_format_becomes_samples(format: str, count: int, media: bytes, tmp_path: Path) -> None:
    samples, _, workspace = _read(format, tmp_path)
    assert len(samples) == count
    (sample,) = samples
    assert (sample.licence, sample.category, sample.modality) == ("CC0-1.0", "chart", "image")
    assert MediaReader(workspace).read(sample.media[0].refs[0]) == media


def test_a_folder_of_captioned_images_and_videos(tmp_path: Path) -> None:
    samples, drops, workspace = _read("folder", tmp_path)
    assert not drops
    assert [s.turns[-1].text for s in samples] == ["A caption.", "A clip's caption."]
    assert [s.modality for s in samples] == ["image", "video"]
    assert [MediaReader(workspace).read(s.media[0].refs[0]) for s in samples] == [
        b"png one",
        b"a clip",
    ]


def test_a_medium_without_a_caption_and_a_caption_without_a_medium_are_counted(
    tmp_path: Path,
) -> None:
    _write(tmp_path / "mine")
    (tmp_path / "mine" / "2.jpg").write_bytes(b"nobody says what this is")
    (tmp_path / "mine" / "3.txt").write_text("Whose caption is this?")
    listed = {"file_name": "4.png", "text": "A caption in a list."}
    (tmp_path / "mine" / "metadata.jsonl").write_text(json.dumps(listed) + "\n")
    (tmp_path / "mine" / "4.png").write_bytes(b"png four")
    samples, drops, _ = _read("folder", tmp_path)
    said = {s.turns[-1].text for s in samples}
    assert said == {"A caption.", "A clip's caption.", "A caption in a list."}
    place = "raw/own-data/local/captions.jsonl"
    assert drops == [("field-missing", f"{place}#2"), ("media-missing", f"{place}#4")]


def test_schema_problems_are_reported_by_file_and_row(tmp_path: Path) -> None:
    _, drops, _ = _read("llava", tmp_path)
    place = "raw/own-data/local/rows.json"
    assert drops == [("media-missing", f"{place}#1"), ("field-missing", f"{place}#2")]
    _, drops, _ = _read("webdataset", tmp_path)
    assert drops == [("field-missing", "raw/own-data/local/shard.tar#1")]


@pytest.mark.parametrize("format", ["llava", "parquet", "webdataset"])
def test_endings_may_be_in_capitals(format: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    _write(mine)
    for path in [p for p in mine.iterdir() if p.is_file()]:
        path.rename(path.with_suffix(path.suffix.upper()))
    samples, _, workspace = _read(format, tmp_path)
    wanted = {"llava": b"png one", "parquet": b"png", "webdataset": b"jpg"}
    assert [MediaReader(workspace).read(s.media[0].refs[0]) for s in samples] == [wanted[format]]


def test_a_folder_of_real_life_loses_nothing_in_silence(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    (mine / "日本").mkdir(parents=True)
    (mine / "__MACOSX").mkdir()
    for name in ("A.JPG", "b.tif", "größe 1.png", "日本/写真.png", "wide.jpg", "empty.jpg"):
        (mine / name).write_bytes(name.encode())
    for name in ("._A.JPG", "__MACOSX/A.JPG", "Thumbs.db"):
        (mine / name).write_bytes(b"left by a file manager")
    (mine / "A.TXT").write_text("Endings in capitals.")
    (mine / "b.txt").write_bytes(b"\xef\xbb\xbfA mark,\r\nand two lines.\r\n")
    (mine / "größe 1.txt").write_bytes("Caf\xe9".encode("latin-1"))
    (mine / "日本/写真.txt").write_text("写真です。")
    (mine / "wide.txt").write_bytes("Notepad's Unicode".encode("utf-16"))
    (mine / "empty.txt").write_text(" \r\n")
    (mine / "metadata.jsonl").write_text('{"file_name": broken\n{"text": "whose?"}\n')
    samples, drops, workspace = _read("folder", tmp_path)
    assert {MediaReader(workspace).read(s.media[0].refs[0]).decode(): s.turns[-1].text
            for s in samples} == {
        "A.JPG": "Endings in capitals.", "b.tif": "A mark,\nand two lines.",
        "größe 1.png": "Café", "日本/写真.png": "写真です。", "wide.jpg": "Notepad's Unicode",
    }  # fmt: skip
    assert sorted(reason for reason, _ in drops) == [
        "metadata-broken", "metadata-broken", "text-empty",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "image",
    [
        "./1.png",
        "deep\\1.png",
        "MINE/1.png",
        {"bytes": None, "path": "1.png"},
        ["1.png"],
    ],
)
def test_a_medium_is_found_however_its_row_names_it(image: object, tmp_path: Path) -> None:
    _write(tmp_path / "mine")
    (tmp_path / "mine" / "deep").mkdir()
    (tmp_path / "mine" / "deep" / "1.png").write_bytes(b"png one")
    if isinstance(image, str):
        image = image.replace("MINE", str(tmp_path / "mine"))
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A chart."}]},
    ]
    (tmp_path / "mine" / "rows.json").write_text(json.dumps([{"image": image, "messages": chat}]))
    samples, drops, workspace = _read("llava", tmp_path)
    assert not drops
    (sample,) = samples
    assert [t.text for t in sample.turns] == ["Be brief.", "What is it?", "A chart."]
    assert sample.turns[1].parts[0].media == 0
    assert MediaReader(workspace).read(sample.media[0].refs[0]) == b"png one"


@pytest.mark.parametrize(
    ("format", "name"), [("llava", "p.zip"), ("webdataset", "w.tar"), ("parquet", "q.parquet")]
)
def test_a_damaged_file_of_the_users_is_named_by_its_own_path(
    format: str, name: str, tmp_path: Path
) -> None:
    _write(tmp_path / "mine")
    (tmp_path / "mine" / name).write_bytes(b"cut off in the middle of the night" * 40)
    with pytest.raises(DataError) as caught:
        _read(format, tmp_path)
    assert str(caught.value).startswith(f"own-data: {tmp_path / 'mine' / name}: ")
    assert str(caught.value).endswith("; repair that file or move it away, then fetch again")


def test_changed_files_are_seen_by_the_next_fetch(tmp_path: Path) -> None:
    assert len(_read("llava", tmp_path)[0]) == 1
    (tmp_path / "mine" / "gone.png").write_bytes(b"back")
    assert len(_read("llava", tmp_path)[0]) == 2


_SPEC = """
name: own
profile: {preset: nano, style: inference}
unit: samples
components:
  all: {corpus: own-data, take: all}
"""


def test_processes_that_never_saw_the_catalogue_curate_mix_and_fetch_again(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    chats = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in (("Which river runs through Rome?", "The Tiber."), ("Who is it?", "A cat."))
    ]
    (tmp_path / "mine" / "rows.jsonl").write_text("\n".join(map(json.dumps, chats)))
    (tmp_path / "own.yaml").write_text(
        "corpora: [{id: own-data, path: mine, format: llava, licence: CC0-1.0, modality: text}]"
    )
    (tmp_path / "mix.yaml").write_text(_SPEC)
    for call in (
        ["fetch", "own-data", "--catalogue", "own.yaml"],
        ["curate", "own-data", "--workers", "0"],
        ["mix", "build", "mix.yaml", "--workers", "0"],
        ["fetch", "own-data"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", "from smolmix.cli import main; main()", *call],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert "own-data: 1 files" in done.stdout
    assert json.loads((tmp_path / "workspace/mixtures/own/lock.json").read_text())["samples"] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("corpora: [{id: a, path: p, fromat: llava, licence: x}]", "did you mean 'format'"),
        ("corpora: [{id: a, path: p, format: csv, licence: x}]", "format is 'csv'"),
        ("corpora: [{id: a, path: p, format: llava}]", "licence"),
        ("corpora: [{id: A b, path: p, format: llava, licence: x}]", "id is 'A b'"),
        ("corpora: 3", "corpora is 3"),
        ("corpora: [", "own.yaml"),
    ],
)
def test_a_wrong_catalogue_is_one_clear_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"own\.yaml") as caught:
        read_catalogue(str(tmp_path / "own.yaml"))
    assert said in str(caught.value)


def test_layout_is_read_as_format(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text("corpora: [{id: a, path: p, layout: parquet, licence: x}]")
    assert read_catalogue(str(path))["a"].catalogue["format"] == "parquet"  # type: ignore[index]  # not None here
    path.write_text("corpora: [{id: a, path: p, layout: csv, licence: x}]")
    with pytest.raises(UsageError, match="format is 'csv'"):
        read_catalogue(str(path))
