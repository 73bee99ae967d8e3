"""Fetch over plain HTTP: pinned, in parts, resumed after a kill, media from elsewhere."""

import gzip
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.served import served, tar_bytes

from smolmix.engine.lock import locked
from smolmix.errors import DataError, IncompleteError, LockedError, UsageError
from smolmix.http import Retry
from smolmix.media import MediaReader
from smolmix.pipelines.fetch.download import Downloader
from smolmix.pipelines.fetch.run import FetchOptions, fetch
from smolmix.pipelines.fetch.scope import Scope
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Http, Source
from smolmix.sample import Sample, turns_of
from smolmix.workspace import Workspace


def _adapt(row: Row) -> Iterator[Sample]:
    media = (row.find(row.text("image")),) if "image" in row.values else ()
    yield row.sample(
        turns=turns_of(("user", [*range(len(media)), "Q?"]), ("assistant", row.text("text"))),
        media=media,
        category="x",
    )


def _lines(start: int, count: int) -> bytes:
    rows = [
        {"text": f"row {n}", **({"image": f"images/{n}.png"} if n % 2 else {})}
        for n in range(start, start + count)
    ]
    return "".join(json.dumps(r) + "\n" for r in rows).encode()


@pytest.fixture
def source(site: Any) -> Source:
    names = [f"images/{n}.png" for n in range(20)]
    site.files = {
        "/a.jsonl": _lines(0, 10),
        "/b.jsonl.gz": gzip.compress(_lines(10, 10), mtime=0),
        "/images-1.tar.gz": tar_bytes({name: name.encode() for name in names[:12]}),
        "/images-2.tar.gz": tar_bytes({name: name.encode() for name in names[12:18]}),
    }
    return served(
        site,
        format=JsonLines(),
        adapt=_adapt,
        rows_in=("*.jsonl", "*.jsonl.gz"),
        media_in=("*.tar.gz",),
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


IMPATIENT = Downloader(retry=Retry(attempts=4, sleep=lambda seconds: None))


def read(source: Source, workspace: Workspace) -> tuple[list[Sample], list[str]]:
    adapted = [a for u in raw_units(source, workspace) for a in read_unit(source, u, workspace)]
    return (
        [s for a in adapted for s in a.samples],
        [d.reason for a in adapted for d in a.dropped],
    )


def test_rows_and_media_are_downloaded_rewritten_indexed_and_read(
    source: Source, workspace: Workspace
) -> None:
    assert fetch(source, workspace).fresh
    samples, dropped = read(source, workspace)
    assert len(samples) == 19
    assert dropped == ["media-missing"]  # images/19.png is in no archive
    reader = MediaReader(workspace)
    seen = [reader.read(s.media[0].refs[0]).decode() for s in samples if s.media]
    assert seen == [f"images/{n}.png" for n in range(1, 19, 2)]
    record = workspace.raw("served").read_json("fetch.json")
    assert {"path", "size", "sha256", "url"} <= set(record["files"][0])
    assert record["revision"] == "v1"
    assert record["licence"] == "MIT"
    assert not list(workspace.local().rglob("*.tar.gz"))
    assert len(list(workspace.local().rglob("*.tar"))) == 2


def test_fetching_again_sends_no_request(source: Source, workspace: Workspace, site: Any) -> None:
    fetch(source, workspace)
    site.requests.clear()
    assert not fetch(source, workspace).fresh
    assert site.requests == []


def test_cut_connections_and_a_kill_between_files_leave_the_same_bytes(
    source: Source, workspace: Workspace, site: Any, tmp_path: Path
) -> None:
    fetch(source, Workspace(tmp_path / "calm"))
    site.trouble = [("cut", 100), ("status", 503, ""), ("cut", 10), *[("status", 500, "")] * 30]
    with pytest.raises(DataError, match="in a row"):
        fetch(source, workspace, FetchOptions(at_once=1, downloader=IMPATIENT))
    with pytest.raises(IncompleteError, match="stopped half-way"):
        raw_units(source, workspace)
    site.trouble = []
    fetch(source, workspace, FetchOptions(at_once=1, downloader=IMPATIENT))
    one, two = (
        {
            p.relative_to(w.local()).as_posix(): p.read_bytes()
            for p in sorted(w.local().rglob("*"))
            if p.is_file() and p.name != ".lock"
        }
        for w in (workspace, Workspace(tmp_path / "calm"))
    )
    assert one == two


def test_a_limit_takes_that_many_rows_and_no_further_file(
    source: Source, workspace: Workspace, site: Any
) -> None:
    fetch(source, workspace, FetchOptions(scope=Scope(limit=7)))
    samples, dropped = read(source, workspace)
    assert [s.turns[-1].text for s in samples] == [f"row {n}" for n in range(7)]
    assert not dropped
    assert "/b.jsonl.gz" not in {path for method, path, _ in site.requests if method == "GET"}
    fetch(source, workspace, FetchOptions(scope=Scope(limit=14)))
    assert len(read(source, workspace)[0]) == 14


def test_globs_choose_files(source: Source, workspace: Workspace) -> None:
    fetch(source, workspace, FetchOptions(scope=Scope(files=("b.*", "images-2*"))))
    samples, dropped = read(source, workspace)
    assert len(samples) + len(dropped) == 10
    assert dropped.count("media-missing") == 2


def test_max_bytes_takes_files_that_fit_rows_first(
    source: Source, workspace: Workspace, site: Any
) -> None:
    enough = len(site.files["/a.jsonl"]) + len(site.files["/b.jsonl.gz"])
    done = fetch(source, workspace, FetchOptions(scope=Scope(max_bytes=enough)))
    assert done.files == 2
    assert done.bytes == enough
    with pytest.raises(UsageError, match="of rows is in scope"):
        fetch(source, workspace, FetchOptions(scope=Scope(max_bytes=1)))


def test_annotations_fetch_rows_without_media_and_a_later_fetch_the_rest(
    source: Source, workspace: Workspace, site: Any
) -> None:
    fetch(source, workspace, FetchOptions(scope=Scope(annotations=True)))
    assert not list(workspace.local().rglob("*.tar"))
    samples, dropped = read(source, workspace)
    assert not dropped
    named = {s.media[0].names[0] for s in samples if s.media}
    assert named == {f"images/{n}.png" for n in range(1, 20, 2)}
    with pytest.raises(DataError, match=r"not fetched.*--for MIXTURE"):
        MediaReader(workspace).read(next(s for s in samples if s.media).media[0].refs[0])
    site.requests.clear()
    fetch(source, workspace)
    got = {path for method, path, _ in site.requests if method == "GET"}
    assert got == {"/images-1.tar.gz", "/images-2.tar.gz"}
    assert len(read(source, workspace)[0]) == 19


def test_the_first_rows_can_come_without_their_media(source: Source, workspace: Workspace) -> None:
    done = fetch(source, workspace, FetchOptions(scope=Scope(annotations=True, limit=3)))
    assert done.files == 1
    assert not list(workspace.local().rglob("*.tar"))


def test_a_dry_run_says_files_and_bytes_and_writes_nothing(
    source: Source, workspace: Workspace, site: Any
) -> None:
    said: list[str] = []
    would = fetch(source, workspace, FetchOptions(dry_run=True, say=said.append))
    assert (would.files, would.bytes) == (4, sum(map(len, site.files.values())))
    assert len(said) == 4
    assert not workspace.local().exists()
    assert {method for method, _, _ in site.requests} == {"HEAD"}


def test_a_disk_too_small_is_reported_before_anything_is_downloaded(
    source: Source, workspace: Workspace, site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")._replace(free=300)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"300 free.*--max-bytes"):
        fetch(source, workspace)
    assert {method for method, _, _ in site.requests} == {"HEAD"}


def test_two_runs_on_one_corpus_refuse_each_other(source: Source, workspace: Workspace) -> None:
    with locked(workspace.raw("served")), pytest.raises(LockedError, match="served"):
        fetch(source, workspace)


def test_media_of_the_user_fill_what_is_not_published(
    source: Source, workspace: Workspace, tmp_path: Path
) -> None:
    theirs = tmp_path / "mine" / "images"
    theirs.mkdir(parents=True)
    (theirs / "19.png").write_bytes(b"mine")
    fetch(source, workspace)
    before = raw_units(source, workspace)
    fetch(source, workspace, FetchOptions(media=str(tmp_path / "mine")))
    samples, dropped = read(source, workspace)
    assert not dropped
    assert len(samples) == 20
    (ref,) = samples[-1].media[0].refs
    assert MediaReader(workspace).read(ref) == b"mine"
    assert [u.files for u in before] != [u.files for u in raw_units(source, workspace)]
    workspace.remove("raw/served/v1/a.jsonl")
    (theirs / "19.png").write_bytes(b"another of mine")
    after = raw_units(source, workspace)
    fetch(source, workspace)  # given once, the folder stays valid, as it is now
    assert [u.files for u in after] != [u.files for u in raw_units(source, workspace)]
    (ref,) = read(source, workspace)[0][-1].media[0].refs
    assert MediaReader(workspace).read(ref) == b"another of mine"


def test_a_media_folder_that_is_not_there_is_refused(source: Source, workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        fetch(source, workspace, FetchOptions(media="/nowhere"))


def test_annotations_are_refused_where_media_are_in_the_files_of_rows(
    source: Source, workspace: Workspace
) -> None:
    with pytest.raises(UsageError, match="same files"):
        fetch(
            replace(source, media_in=()),
            workspace,
            FetchOptions(scope=Scope(annotations=True)),
        )


def test_a_file_deleted_from_disk_is_downloaded_again(
    source: Source, workspace: Workspace, site: Any
) -> None:
    fetch(source, workspace)
    workspace.remove("raw/served/v1/a.jsonl")
    site.requests.clear()
    assert fetch(source, workspace).fresh
    assert [p for m, p, _ in site.requests if m == "GET"] == ["/a.jsonl"]


def test_an_index_that_was_cut_or_is_of_other_bytes_is_written_again(
    source: Source, workspace: Workspace, site: Any
) -> None:
    def packed(mark: str) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("first.png", mark * 7)
            for n in range(20):
                archive.writestr(f"images/{n}.png", f"{mark}{n}")
        return out.getvalue()

    def shown() -> list[bytes]:
        reader = MediaReader(workspace)
        return [reader.read(m.refs[0]) for s in read(source, workspace)[0] for m in s.media]

    site.files = {"/a.jsonl": _lines(0, 10), "/all.zip": packed("one")}
    urls = tuple((p.lstrip("/"), f"{site.url}{p}") for p in site.files)
    source = replace(source, origin=Http(urls=urls, revision="v1"), media_in=("*.zip",))
    fetch(source, workspace)
    assert shown() == [b"one%d" % n for n in range(1, 10, 2)]
    index = workspace.child("raw/served/v1/_index")
    index.write_bytes("all.zip.parquet", index.read_bytes("all.zip.parquet")[:400])
    workspace.remove("raw/served/v1/a.jsonl")  # so that there is something to do
    fetch(source, workspace)
    assert shown() == [b"one%d" % n for n in range(1, 10, 2)]
    site.files["/all.zip"] = packed("another")  # under the same address
    workspace.remove("raw/served/v1/all.zip")
    fetch(source, workspace)
    assert shown() == [b"another%d" % n for n in range(1, 10, 2)]
