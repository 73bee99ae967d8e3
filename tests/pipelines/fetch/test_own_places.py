"""A user's media are those of the row's own place, wherever the user put them."""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from smolmix.errors import DataError
from smolmix.media import MediaReader
from smolmix.pipelines.fetch.entries import entries
from smolmix.pipelines.fetch.run import FetchOptions, fetch
from smolmix.pipelines.sources.catalogue import read_catalogue
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.sample import Dropped
from smolmix.storage import Folder
from smolmix.workspace import Workspace

Result = tuple[dict[str, list[bytes]], dict[str, Dropped], list[str]]


@pytest.fixture
def adapt(tmp_path: Path) -> Callable[..., Result]:
    """Fetch and adapt the corpus in the folder `own`; return media by question, and the drops."""

    def run(**keys: object) -> Result:
        entry = {"id": "own", "path": "own", "format": "llava", "licence": "MIT"} | keys
        (tmp_path / "own.yaml").write_text(yaml.safe_dump({"corpora": [entry]}))
        source = read_catalogue(str(tmp_path / "own.yaml"))["own"]
        workspace, said = Workspace(tmp_path / "ws"), list[str]()
        fetch(source, workspace, FetchOptions(say=said.append))
        reader = MediaReader(workspace)
        kept: dict[str, list[bytes]] = {}
        dropped: dict[str, Dropped] = {}
        for unit in raw_units(source, workspace):
            for adapted in read_unit(source, unit, workspace):
                for sample in adapted.samples:
                    shown = [data for medium in sample.media for data in reader.read_all(medium)]
                    assert sample.turns[0].text.strip() not in kept
                    kept[sample.turns[0].text.strip()] = shown
                dropped |= {d.detail.partition(":")[0]: d for d in adapted.dropped}
        return kept, dropped, said

    (tmp_path / "own").mkdir()
    return run


def _rows(path: Path, *names: str) -> None:
    rows = [{"image": n, "conversations": _chat(n)} for n in names]
    path.write_text(json.dumps(rows))


def _chat(question: str) -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": "A."}]


def _zip(path: Path, members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def _tar(path: Path, *members: tuple[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_tars_that_number_from_zero_show_their_own_pictures(
    tmp_path: Path, adapt: Callable[..., Result]
) -> None:
    for shard in range(3):
        members = []
        for n in range(2):
            question = f"{shard}-{n}"
            members += [
                (f"{n:06d}.2.png", f"{question} second".encode()),
                (f"{n:06d}.10.png", f"{question} tenth".encode()),
                (f"{n:06d}.json", json.dumps({"conversations": _chat(question)}).encode()),
            ]
        _tar(tmp_path / f"own/{shard:05d}.tar", *members)
    kept, dropped, _ = adapt(format="webdataset")
    assert not dropped
    assert len(kept) == 6
    for question, shown in kept.items():
        assert shown == [f"{question} second".encode(), f"{question} tenth".encode()]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_name_in_two_zips_is_ambiguous_unless_the_row_names_the_zip(
    tmp_path: Path, adapt: Callable[..., Result], method: int
) -> None:
    _zip(tmp_path / "own/a.zip", {"0.png": b"from a", "same.png": b"s", "1.png": b"1"}, method)
    _zip(tmp_path / "own/b.zip", {"0.png": b"from b", "same.png": b"s"}, method)
    _rows(tmp_path / "own/rows.json", "0.png", "a/0.png", "b/0.png", "same.png", "1.png")
    kept, dropped, _ = adapt()
    assert kept == {
        "a/0.png": [b"from a"], "b/0.png": [b"from b"], "same.png": [b"s"], "1.png": [b"1"],
    }  # fmt: skip
    (drop,) = dropped.values()
    assert drop.reason == "media-ambiguous"
    assert "a.zip:0.png" in drop.detail
    assert "b.zip:0.png" in drop.detail


def test_a_member_that_a_zip_holds_twice_is_ambiguous(
    tmp_path: Path, adapt: Callable[..., Result]
) -> None:
    _zip(tmp_path / "own/a.zip", {"0.png": b"first" * 9, "1.png": b"second" * 9})
    data = (tmp_path / "own/a.zip").read_bytes()
    (tmp_path / "own/a.zip").write_bytes(data.replace(b"1.png", b"0.png"))
    _rows(tmp_path / "own/rows.json", "0.png")
    kept, dropped, _ = adapt()
    assert not kept
    assert [d.reason for d in dropped.values()] == ["media-ambiguous"]


def test_several_places_answer_by_path_and_by_full_path(
    tmp_path: Path, adapt: Callable[..., Result]
) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "both.png").write_bytes(f"both in {place}".encode())
        (tmp_path / place / f"{place}.png").write_bytes(place.encode())
        _zip(tmp_path / place / "z.zip", {f"{place}.gif": place.encode()})
    full = [f"{tmp_path}/{place}/both.png" for place in ("one", "two")]
    names = ("one.png", "two.png", "both.png", "z/one.gif", "z/two.gif", *full)
    _rows(tmp_path / "own/rows.json", *names)
    kept, dropped, _ = adapt(media=["one", "two"])
    assert kept == {
        "one.png": [b"one"], "two.png": [b"two"], "z/one.gif": [b"one"], "z/two.gif": [b"two"],
        full[0]: [b"both in one"], full[1]: [b"both in two"],
    }  # fmt: skip
    assert {k: d.reason for k, d in dropped.items()} == {"both.png": "media-ambiguous"}


def test_links_of_the_owner_are_followed_to_folders_files_and_the_root(
    tmp_path: Path, adapt: Callable[..., Result]
) -> None:
    disk = tmp_path / "disk/charts"
    (disk / "images").mkdir(parents=True)
    (disk / "images/0.png").write_bytes(b"zero")
    (tmp_path / "own").rmdir()
    (tmp_path / "own").symlink_to("disk/charts")
    (disk / "linked").symlink_to("images")
    (disk / "images/round").symlink_to("..")
    (disk / "again.json").symlink_to("rows.json")
    full = f"{tmp_path}/own/images/0.png", f"{disk}/images/0.png"
    _rows(disk / "rows.json", "images/0.png", "linked/0.png", *full)
    kept, dropped, said = adapt()
    assert not dropped
    assert kept == {k: [b"zero"] for k in ("images/0.png", "linked/0.png", *full)}
    assert any("again.json: the same file as rows.json" in line for line in said)
    assert any("images/round" in line and "it is in" in line for line in said)


def test_odd_entries_are_named_and_skipped(tmp_path: Path, adapt: Callable[..., Result]) -> None:
    own = tmp_path / "own"
    _rows(own / "rows.json", "good.png", "pipe.png", "gone.png")
    (own / "good.png").write_bytes(b"good")
    os.mkfifo(own / "pipe.png")
    os.mkfifo(own / "events.jsonl")
    (own / "gone.png").symlink_to("/annex/gone.png")
    (own / "dir").mkdir()
    Path(os.fsdecode(os.fsencode(own / "dir") + b"/caf\xe9.png")).write_bytes(b"x")
    long = "图" * 80 + ".tar"
    _tar(own / long, ("t.png", b"t"))
    kept, dropped, said = adapt()
    assert kept == {"good.png": [b"good"]}
    assert {k: d.reason for k, d in dropped.items()} == {
        "pipe.png": "media-unreadable", "gone.png": "media-unreadable",
    }  # fmt: skip
    assert any("events.jsonl" in line for line in said)
    assert any(r"caf\xe9.png" in line.replace("\\\\", "\\") for line in said)


def test_rows_behind_a_link_to_nothing_stop_the_fetch_and_are_named(
    tmp_path: Path, adapt: Callable[..., Result]
) -> None:
    _rows(tmp_path / "own/rows.json")
    (tmp_path / "own/more.jsonl").symlink_to("/annex/gone.jsonl")
    with pytest.raises(DataError, match=r"more\.jsonl is a link to /annex/gone\.jsonl"):
        adapt()


def test_names_of_zips_can_be_declared(tmp_path: Path, adapt: Callable[..., Result]) -> None:
    _zip(tmp_path / "own/a.zip", {"xxxx.png": b"picture" * 9})
    data = (tmp_path / "own/a.zip").read_bytes()
    (tmp_path / "own/a.zip").write_bytes(data.replace(b"xxxx", "图片".encode("gbk")))
    _rows(tmp_path / "own/rows.json", "图片.png")
    assert not adapt()[0]
    assert adapt(zip_names="gbk")[0] == {"图片.png": [b"picture" * 9]}


def test_a_walk_lists_a_remote_folder_as_a_local_one(tmp_path: Path) -> None:
    for folder in (Folder("memory://walked"), Folder(tmp_path / "walked")):
        folder.write_bytes("b/2.png", b"22")
        folder.write_bytes("a.png", b"1")
        assert [(e.path, e.size) for e in entries(folder)] == [("a.png", 1), ("b/2.png", 2)]
