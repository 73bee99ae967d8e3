"""From rows alone to tokens: plan without media, then fetch the archives a selection needs."""

import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.support.served import served, tar_bytes

from smolmix import cli
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Source
from smolmix.sample import Sample, turns_of
from smolmix.workspace import Workspace

Run = Callable[..., tuple[int, str, str]]

_ROWS = {"zipped": 6, "plain": 5, "packed": 4, "beside": 4, "other": 4, "text": 5}
_WORDS = ("red", "green", "blue", "tall", "small", "round", "far", "near")
_MIX = """
name: small
profile: {preset: nano, style: inference}
components:
  zipped: {corpus: served, subset: zipped}
  packed: {corpus: served, subset: [packed, beside], take: 50 %, rule: first}
  text: {corpus: served, subset: text, take: all}
"""


def _adapt(row: Row) -> Iterator[Sample]:
    named = [row.find(row.text("image"))] if "image" in row.values else []
    turns = turns_of(("user", [*range(len(named)), row.text("q")]), ("assistant", row.text("a")))
    yield row.sample(turns=turns, media=named, category="vqa", subset=row.text("subset"))


def _picture(chance: random.Random) -> bytes:
    small = Image.frombytes("RGB", (16, 12), chance.randbytes(16 * 12 * 3))
    out = io.BytesIO()
    small.resize((chance.randrange(200, 900), 300)).save(out, "JPEG")
    return out.getvalue()


def _zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.fixture
def source(site: Any, monkeypatch: pytest.MonkeyPatch) -> Source:
    chance, rows = random.Random(5), []
    pictures: dict[str, dict[str, bytes]] = {}
    for subset, count in _ROWS.items():
        for n in range(count):
            words = " ".join(chance.choices(_WORDS, k=9))
            row = {"q": f"Is {subset} {n} like {words}?", "a": f"It is {words}.", "subset": subset}
            if subset != "text":
                pictures.setdefault(subset, {})[f"{n}.jpg"] = _picture(chance)
                row["image"] = f"{subset}/{n}.jpg"
            rows.append(json.dumps(row))
    plain = {f"plain/{n}": data for n, data in pictures["plain"].items()}
    site.files = {
        "/rows.jsonl": "\n".join(rows).encode(),
        "/zipped.zip": _zip(pictures["zipped"]),
        "/other.zip": _zip(pictures["other"]),
        "/images.tar": tar_bytes(plain, "w"),
        "/packed/p.tar.gz": tar_bytes(pictures["packed"], "w:gz"),
        "/beside/p.tar.gz": tar_bytes(pictures["beside"], "w:gz"),
    }
    source = served(
        site,
        format=JsonLines(),
        adapt=_adapt,
        rows_in=("*.jsonl",),
        media_in=("*.zip", "*.tar", "*.tar.gz"),
    )
    monkeypatch.setitem(SOURCES, "served", source)
    return source


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        alone = () if words[0] in ("fetch", "stats") else ("--workers", "0")
        monkeypatch.setattr("sys.argv", ["smolmix", *words, "-w", str(tmp_path / "ws"), *alone])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return call


def _curated(space: Workspace) -> dict[str, Any]:
    with space.curated("served").open("part-00000.parquet") as stream:
        return {row["id"]: row for row in pq.read_table(stream).to_pylist()}


def _selected(space: Workspace) -> set[str]:
    with space.mixture("small").open("selection.parquet") as stream:
        return set(pq.read_table(stream)["id"].to_pylist())


def test_a_mixture_is_planned_on_rows_alone_and_only_what_it_selects_is_fetched(
    source: Source, run: Run, site: Any, tmp_path: Path
) -> None:
    spec, space = tmp_path / "small.yaml", Workspace(tmp_path / "ws")
    spec.write_text(_MIX)
    assert run("fetch", "served", "--annotations")[0] == 0
    code, out, err = run("curate", "served")
    assert code == 0, err
    assert "media of 23 samples are not fetched" in out
    assert len(_curated(space)) == 28

    code, out, err = run("mix", "plan", str(spec), "--count", "--json")
    assert code == 0, err
    known = {line["component"]: line["tokens"]["known"] for line in json.loads(out)["lines"]}
    assert known == {"zipped": "assumed", "packed": "assumed", "text": "measured"}
    code, out, err = run("mix", "build", str(spec))
    assert code == 0, err
    assert "not fetched: media of 10 selected samples" in out
    assert "smolmix fetch served --for small" in out
    assert space.mixture("small").read_json("lock.json")["not_fetched"] == {"served": 10}
    planned = _selected(space)
    assert len(planned) == 15
    assert "served: media of 23 measured samples are not fetched" in run("stats", "small")[1]
    code, _, err = run("tokenize", "small", "--sequence-length", "1024")
    assert code == 1
    assert "media of 10 selected samples are not fetched" in err
    assert "smolmix fetch served --for small" in err

    site.requests.clear()
    code, _, err = run("fetch", "served", "--for", "small")
    assert code == 0, err
    whole = {path for method, path, asked in site.requests if method == "GET" and not asked}
    assert whole == {"/zipped.zip", "/packed/p.tar.gz"}
    looked = {path for method, path, asked in site.requests if method == "GET" and asked}
    assert looked == {"/zipped.zip", "/other.zip", "/images.tar", "/packed/p.tar.gz"}
    assert "packed/p.tar.gz: compressed, it cannot be searched" in err
    site.requests.clear()
    assert "already fetched" in run("fetch", "served", "--for", "small")[1]
    assert not site.requests

    code, out, err = run("curate", "served", "--json")
    assert code == 0, err
    (fall,) = json.loads(out)
    assert fall["lost"] == {"media-not-selected": 13}
    assert fall["not_fetched"] == 0
    assert fall["kept"] == 15
    code, out, err = run("mix", "build", str(spec))
    assert code == 0, err
    assert "assumed" not in out
    assert _selected(space) == planned
    assert run("mix", "build", str(spec))[0] == 0
    assert _selected(space) == planned, "half of the packed ones, not half of that half"
    assert run("mix", "build", space.mixture("small").at("lock.json"))[0] == 0
    code, out, err = run("tokenize", "small", "--sequence-length", "1024")
    assert code == 0, err
    assert "15 documents" in out


def test_rows_that_name_other_media_are_no_duplicates_of_one_another(
    source: Source, run: Run, site: Any, tmp_path: Path
) -> None:
    rows = [
        {
            "q": "What is this?",
            "a": "It is a thing.",
            "subset": "zipped",
            "image": f"zipped/{n}.jpg",
        }
        for n in (0, 1, 1)
    ]
    site.files["/rows.jsonl"] = "\n".join(map(json.dumps, rows)).encode()
    assert run("fetch", "served", "--annotations")[0] == 0
    code, out, err = run("curate", "served", "--json")
    assert code == 0, err
    (fall,) = json.loads(out)
    assert fall["kept"] == 2
    assert fall["duplicates"] == {"duplicate-exact": 1}


def test_a_spec_that_bounds_lengths_must_say_how_long_clips_are_that_are_not_here(
    source: Source, run: Run, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def adapt(row: Row) -> Iterator[Sample]:
        clip = row.find(row.text("image"), kind="video")
        turns = turns_of(("user", [0, row.text("q")]), ("assistant", row.text("a")))
        yield row.sample(turns=turns, media=[clip], category="vqa", subset="clips")

    monkeypatch.setitem(SOURCES, "served", replace(source, adapt=adapt, modality="video"))
    rows = [
        {"q": f"What is {n}?", "a": f"It is {n} indeed.", "image": f"{n}.mp4"} for n in range(40)
    ]
    site.files["/rows.jsonl"] = "\n".join(map(json.dumps, rows)).encode()
    assert run("fetch", "served", "--annotations")[0] == 0
    assert run("curate", "served")[0] == 0
    spec = tmp_path / "small.yaml"
    text = """
name: small
profile: {preset: nano, style: inference}
caps: {duration_s: {max: 60}}
components:
  clips: {corpus: served%s}
"""
    spec.write_text(text % "")
    code, _, err = run("mix", "build", str(spec))
    assert code == 2
    assert "components.clips" in err
    assert "declared.duration_s" in err
    spec.write_text(text % ", declared: {durations: {20: 50 %, 180: 50 %}}")
    code, out, err = run("mix", "build", str(spec), "--json")
    assert code == 0, err
    found = json.loads(out)
    short, long = found["samples"], found["excluded"]["caps.duration_s.max"]
    assert short + long == 40
    assert 10 <= short <= 30
    assert found["mean_duration_s"] == 10.0
