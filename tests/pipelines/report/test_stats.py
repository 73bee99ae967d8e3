"""`stats` says what polars says, of every kind of place, in lines, JSON and CSV."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from smolmix.accounting import RowAccounting
from smolmix.cli import app
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.errors import SmolmixError, StaleError, UsageError
from smolmix.mixtures.selection.reader import current_selection
from smolmix.pipelines.report.figures.training import runs
from smolmix.pipelines.report.page.page import json_text
from smolmix.pipelines.report.run import build_report
from smolmix.pipelines.stats.folders import run_numbers
from smolmix.pipelines.stats.samples import scan
from smolmix.workspace import Workspace


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["stats", *arguments])
    if isinstance(done.exception, SmolmixError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def asked(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json"))


def _curated(shop: Workspace, corpus: str = "*") -> pl.DataFrame:
    samples = pl.read_parquet(f"{shop.path}/curated/{corpus}/part-00000.parquet")
    counts = pl.read_parquet(f"{shop.path}/counts/*/{corpus}/part-00000.parquet")
    return samples.drop("text_tokens").join(counts, on="id")


def test_a_workspaces_totals_are_polars(shop: Workspace) -> None:
    frame, found = _curated(shop), asked(shop.path)
    totals = found["totals"]
    assert totals["samples"] == frame.height == 52
    for name in ("tokens", "text_tokens", "visual_tokens", "supervised_tokens", "tiles", "frames"):
        assert totals[name] == frame[name].sum() > 0
    assert totals["turns"] == frame["n_turns"].sum()
    assert (totals["images"], totals["videos"]) == (26, 6)
    assert totals["video_hours"] == round(float(frame["duration_s"].sum()) / 3600, 6)
    assert totals["cot_samples"] == frame.filter(pl.col("cot") != "none").height == 3
    assert {g["corpus"]: g["samples"] for g in found["groups"]} == {
        "shots": 26,
        "notes": 20,
        "clips": 6,
    }


@pytest.mark.parametrize("column", ["category", "cot", "language", "n_turns", "tiles"])
def test_groups_by_any_column_are_polars(shop: Workspace, column: str) -> None:
    frame = _curated(shop)
    groups = asked(shop.path, "--by", column)["groups"]
    expected = frame.group_by(column).agg(pl.len(), pl.col("tokens").sum())
    found = {(g[column], g["samples"], g["tokens"]) for g in groups}
    assert found == set(expected.rows())


def test_groups_by_a_tag(shop: Workspace) -> None:
    groups = asked("curated/shots", "--by", "tags.style", "-w", shop.path)["groups"]
    assert {g["tags.style"]: g["samples"] for g in groups} == {"even": 12, "odd": 14}


def test_distributions_are_polars(shop: Workspace) -> None:
    frame = _curated(shop, "shots")
    shapes = asked("curated/shots", "-w", shop.path)["distributions"]
    for name in ("tokens", "tiles", "answer_chars"):
        for q, value in shapes[name]["quantiles"].items():
            assert value == frame[name].quantile(int(q[1:]) / 100, interpolation="lower")
    assert set(shapes) >= {"tokens", "text_tokens", "visual_tokens", "tiles", "n_turns"}


def test_a_mixtures_repeats_count_as_often_as_they_are_drawn(shop: Workspace) -> None:
    selection = pl.read_parquet(shop.mixture("small").local("selection.parquet"))
    found = asked("mixtures/small", "-w", shop.path)
    assert found["totals"]["samples"] == selection.height
    tokens = selection.select("id").join(_curated(shop), on="id")["tokens"].sum()
    assert found["totals"]["tokens"] == tokens


def test_measured_samples_have_no_counts_and_say_so(shop: Workspace) -> None:
    found = asked("measured/shots", "-w", shop.path)
    assert found["totals"]["samples"] == 30
    assert "tiles" not in found["totals"]
    assert found["notes"] == ["tokens and tiles are counted after curate"]


def test_raw_files_counts_and_runs_have_numbers_too(shop: Workspace) -> None:
    (raw,) = asked("raw/shots", "-w", shop.path)
    assert (raw["files"], raw["revision"], raw["complete"]) == (30, "r1", True)
    assert raw["bytes"] == sum(
        f.stat().st_size for f in shop.child("raw/shots/r1").local().iterdir()
    )
    names = shop.child("counts").fs.ls(shop.child("counts").path, False)
    profile = names[0].rsplit("/", 1)[-1]
    stage = asked(f"counts/{profile}/shots", "-w", shop.path)
    assert stage["rows"] == {"parquet": 26}
    assert stage["columns"]["parquet: tokens"]["count"] == 26
    one = asked("runs/first", "-w", shop.path)
    assert (one["steps"], one["tokens"], one["loss_last"]) == (30, 3000, 4 / 30)
    assert one["losses_last"] == {"modality/image": 0.1, "modality/text": 5 / 30}


def _turned(unit: Unit[str], context: UnitContext) -> Result:
    table = pq.read_table(unit.payload)
    rows = table.num_rows
    turned = table.take(list(range(rows - 1, -1, -1)))
    pq.write_table(turned, context.out / f"{unit.name}.parquet")
    return Result(accounting=RowAccounting(rows=rows, rows_adapted=rows, samples=rows, kept=rows))


def test_counts_and_a_selection_of_other_rows_are_refused_though_they_are_as_many(
    shop: Workspace, tmp_path: Path
) -> None:
    shutil.copytree(shop.path, tmp_path / "shop")
    again = Workspace(str(tmp_path / "shop"))
    before = again.curated("shots").local("part-00000.parquet").rename(tmp_path / "old.parquet")
    unit = Unit(name="part-00000", inputs={"rows": "turned"}, params={}, payload=str(before))
    stage = Stage(name="curate", version=99, run=_turned)
    run_stage(stage, [unit], folder=again.curated("shots"), options=RunOptions(quiet=True))
    with pytest.raises(StaleError, match=r"counts/.*shots was curated again"):
        scan(again, "curated", ["shots"])
    with pytest.raises(StaleError, match=r"small: the selection .*shots was curated again"):
        current_selection(again, "small")


def test_lines_show_histograms_shares_and_sizes(shop: Workspace) -> None:
    text = run(shop.path)
    for piece in ("samples", "█", "by corpus", "modality, share of samples", "median", "kB"):
        assert piece in text
    assert "\x1b" not in text
    assert "▁" in run("first", "-w", shop.path)
    for facet in ("modality", "language"):
        lines = text.split(f"{facet}, share of samples\n")[1].split("\n\n")[0].splitlines()
        assert len({len(line) for line in lines}) == 1  # also where a value is empty


def test_csv_is_the_groups(shop: Workspace) -> None:
    rows = list(csv.DictReader(io.StringIO(run(shop.path, "--csv", "--by", "modality"))))
    assert {r["modality"]: int(r["samples"]) for r in rows} == {"image": 26, "text": 20, "video": 6}


def test_dropped_counts_and_examples(shop: Workspace) -> None:
    rows = asked(shop.path, "--dropped")
    found = {(r["stage"], r["reason"]): (r["rows"], r["samples"]) for r in rows}
    assert found == {
        ("adapt", "row-malformed"): (1, 0),
        ("dedup", "duplicate-near"): (0, 2),
        ("filter", "answer-empty"): (0, 1),
        ("filter", "image-blank"): (0, 1),
    }
    examples = asked("curated/shots", "-w", shop.path, "--dropped", "--reason", "duplicate-near")
    assert [(e["id"], e["kept_id"]) for e in examples] == [
        ("shots//006", "shots//007"),
        ("shots//008", "shots//009"),
    ]
    only = asked(shop.path, "--dropped", "--reason", "duplicate-near", "--examples", "1")
    assert len(only) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("curated/shot",), "did you mean 'curated/shots'"),
        (("curated/shots", "--by", "catgory"), "did you mean 'category'"),
        (
            ("curated/shots", "--by", "tags.styel"),
            "tags are tags.style; did you mean 'tags.style'",
        ),
        (("curated/shots", "--reason", "x"), "add --dropped"),
        (("curated/shots", "--csv", "--json"), "choose one"),
        (("curated/shots", "--dropped", "--reason", "blank"), "reasons are"),
        (("curated/shots", "--counted-for", "nanoo"), "counted profiles match"),
        (("runs/first", "--dropped"), "records no dropped rows"),
    ],
)
def test_what_is_wrong_with_the_call_is_said(
    shop: Workspace, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(*arguments, "-w", shop.path)


def test_a_remote_workspace_answers_and_reports_like_a_local_one(shop: Workspace) -> None:
    remote = Workspace("memory://shop")
    for path in shop.local().rglob("*"):
        if path.is_file():
            remote.write_bytes(str(path.relative_to(shop.path)), path.read_bytes())
    for place in ("curated/shots", "mixtures/small", "raw/shots", "runs/first"):
        assert asked(f"memory://shop/{place}") == asked(place, "-w", shop.path)
    here, there = (asked(p, "--dropped") for p in (shop.path, "memory://shop"))
    assert here == there
    made = build_report(remote, "small")
    assert remote.report("small").exists("index.html")
    assert made.pictures > 20


def test_an_empty_workspace_says_what_is_missing(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="there are no stages yet"):
        run("anything", "-w", workspace.path)


def test_a_skipped_steps_loss_is_no_number_and_breaks_neither_stats_nor_report(
    workspace: Workspace,
) -> None:
    losses = (4.0, float("nan"), 2.0, float("inf"))
    lines = [
        json.dumps({"step": i, "loss": v, "losses": {"corpus/a": v}, "taken": v == v})
        for i, v in enumerate(losses, 1)
    ]
    run = workspace.run("torn")
    run.write_bytes("metrics.jsonl", "\n".join(lines).encode())
    found = run_numbers(run)
    assert (found["loss"], found["losses_last"]) == ([4.0, None, 2.0, None], {"corpus/a": 2.0})
    json.dumps(found, allow_nan=False)
    (shown,) = runs(workspace, "any")
    assert shown["loss"] is None
    assert [p["loss"] for p in shown["curves"] if p["group"] == "total"] == [4.0, 2.0]
    assert "null" in json_text(shown)
    done = CliRunner().invoke(app, ["stats", "runs/torn", "--workspace", workspace.url])
    assert done.exit_code == 0, done.output
    assert "█×▁×" in done.output
