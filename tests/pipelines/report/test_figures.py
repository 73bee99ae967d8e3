"""Every figure of a report is what polars computes from the files."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.support.cross_corpus import write_cross_corpus
from tests.support.selections import replace_selection, selection_table

from smolmix.pipelines.report.figures.figures import figures
from smolmix.pipelines.report.run import build_report
from smolmix.removals import Removal
from smolmix.workspace import Workspace


def _joined(shop: Workspace) -> pl.DataFrame:
    """Return the selection joined, by id, with curated samples and counts."""
    selection = pl.read_parquet(shop.mixture("small").local("selection.parquet"))
    selection = selection.select("id", "repeat")
    samples = pl.read_parquet(f"{shop.path}/curated/*/part-00000.parquet").drop("text_tokens")
    counts = pl.read_parquet(f"{shop.path}/counts/*/*/*.parquet")
    return selection.join(samples, on="id").join(counts, on="id")


def test_totals_equal_what_polars_computes(shop: Workspace) -> None:
    frame, totals = _joined(shop), figures(shop, "small")["totals"]
    media = frame.explode("media").drop_nulls("media")["media"].struct.unnest()
    expected = {
        "samples_drawn": frame.height,
        "distinct_samples": frame["id"].n_unique(),
        "tokens": frame["tokens"].sum(),
        "text_tokens": frame["text_tokens"].sum(),
        "visual_tokens": frame["visual_tokens"].sum(),
        "supervised_tokens": frame["supervised_tokens"].sum(),
        "tiles": frame["tiles"].sum(),
        "frames": frame["frames"].sum(),
        "turns": frame["n_turns"].sum(),
        "images": media.filter(pl.col("kind") == "image").height,
        "videos": media.filter(pl.col("kind") != "image").height,
        "bytes": media["bytes_on_disk"].sum(),
        "video_hours": float(frame["duration_s"].sum()) / 3600,
        "cot_samples": frame.filter(pl.col("cot") != "none").height,
        "cot_share": frame.filter(pl.col("cot") != "none").height / frame.height,
    }
    assert totals == expected
    assert all(v > 0 for v in expected.values())


def test_shares_licences_and_epochs_equal_what_polars_computes(shop: Workspace) -> None:
    frame, found = _joined(shop), figures(shop, "small")
    checked = 0
    for facet, table in found["shares"].items():
        for row in table:
            mine = frame.filter(pl.col(facet) == row[facet])
            assert row["samples"] == mine.height
            assert row["tokens"] == mine["tokens"].sum()
            assert row["supervised_tokens"] == mine["supervised_tokens"].sum()
            assert row["tiles"] == mine["tiles"].sum()
            checked += 4
    assert checked >= 40
    assert sum(r["share"] for r in found["licences"]) == 1.0
    non_commercial = [r for r in found["licences"] if r["use"] == "non-commercial"]
    tokens = int(frame.filter(pl.col("licence") == "CC-BY-NC-4.0")["tokens"].sum())
    assert [r["share"] for r in non_commercial] == [tokens / int(frame["tokens"].sum())]
    times = frame.group_by("id").len()["len"].value_counts()
    assert {e["times"]: e["samples"] for e in found["epochs"]} == dict(times.rows())


def test_distributions_equal_what_polars_computes(shop: Workspace) -> None:
    frame, found = _joined(shop), figures(shop, "small")["distributions"]
    for name, shape in found.items():
        for q, value in shape["quantiles"].items():
            exact = frame[name].quantile(int(q[1:]) / 100, interpolation="lower")
            assert value == exact, (name, q)
        assert abs(shape["mean"] - (float(np.mean(frame[name].to_numpy())))) < 1e-9
        edges, counts = shape["histogram"]["edges"], shape["histogram"]["counts"]
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            inside = frame.filter((pl.col(name) >= low) & (pl.col(name) < high)).height
            assert count == inside or high == edges[-1]
        assert sum(counts) == frame.height == sum(b["samples"] for b in shape["bins"])
    assert len(found) == 6


def test_flow_adds_up_from_raw_rows_to_drawn_samples(shop: Workspace) -> None:
    steps = figures(shop, "small")["flow"]["corpora"]["shots"]
    count = {s["step"]: s["count"] for s in steps}
    assert count["raw rows"] == 31
    assert count["row-malformed"] == 1
    assert count["adapted samples"] == count["measured samples"] == 30
    assert (count["answer-empty"], count["image-blank"], count["duplicate-near"]) == (1, 1, 2)
    kept = pl.read_parquet(f"{shop.path}/curated/shots/part-00000.parquet")
    assert count["curated samples"] == kept.height == 26
    selection = pl.read_parquet(shop.mixture("small").local("selection.parquet"))
    mine = selection.filter(pl.col("corpus") == "shots")
    assert count["selected samples"] == mine["id"].n_unique()
    assert count["not selected"] == kept.height - mine["id"].n_unique()
    assert count["samples drawn, with repeats"] == mine.height


def test_every_step_of_the_flow_continues_where_the_last_ended(shop: Workspace) -> None:
    bars = figures(shop, "small")["flow"]["total"]
    at = None
    for bar in bars:
        if bar["kind"] == "dropped":
            assert bar["end"] == at
            at = bar["start"]
        else:
            at = bar["end"]
            assert bar["start"] == 0
    levels = [b["step"] for b in bars if b["kind"] == "level"]
    assert levels == [
        "raw rows",
        "adapted samples",
        "measured samples",
        "curated samples",
        "selected samples",
        "samples drawn, with repeats",
    ]


def test_images_and_durations_equal_what_polars_computes(shop: Workspace) -> None:
    found = figures(shop, "small")
    curated = pl.read_parquet(f"{shop.path}/curated/*/part-00000.parquet")
    media = curated.explode("media").drop_nulls("media")["media"].struct.unnest()
    images = media.filter(pl.col("kind") == "image")
    assert found["images"]["images"] == images.height == 26
    assert found["images"]["distinct_sizes"] == images.select("width", "height").n_unique() == 3
    assert sum(g["images"] for g in found["images"]["grids"]) == images.height
    seconds = _joined(shop).filter(pl.col("duration_s") > 0)["duration_s"]
    assert found["durations"]["samples"] == seconds.len()
    assert found["durations"]["mean_s"] == seconds.mean() == 4.0
    assert found["durations"]["buckets"][0] == {
        "at": 0,
        "bucket": "0 to 30 s",
        "from_s": 0.0,
        "to_s": 30.0,
        "samples": seconds.len(),
    }


def test_constraints_give_target_achieved_value_and_whether_they_bind(shop: Workspace) -> None:
    found = {c["key"]: c for c in figures(shop, "small")["constraints"]}
    frame = _joined(shop)
    text = found["shares.modality.text"]
    achieved = frame.filter(pl.col("modality") == "text").height / frame.height
    assert (text["low"], text["high"], text["unit"]) == (0.2, 0.4, "samples")
    assert abs(text["achieved"] - achieved) < 1e-12
    cot = found["caps.cot"]
    declared = frame.filter(pl.col("cot") == "declared").height
    assert (cot["kind"], cot["high"], cot["binding"]) == ("cap", 0.05, "at its maximum")
    assert abs(cot["achieved"] - declared / frame.height) < 1e-12


def test_an_incomplete_last_line_of_metrics_is_ignored(shop: Workspace) -> None:
    (run,) = figures(shop, "small")["runs"]
    assert (run["name"], run["steps"], run["tokens"]) == ("first", 30, 3000)
    curve = [(c["step"], c["loss"]) for c in run["curves"] if c["group"] == "modality/text"]
    assert curve == [(s, 5 / s) for s in range(1, 31)]


@pytest.mark.parametrize(("mixtures", "shown"), [(["other"], 0), (["other", "small"], 1)])
def test_a_run_that_says_what_it_used_is_shown_with_that_mixture_alone(
    shop: Workspace, tmp_path: Path, mixtures: list[str], shown: int
) -> None:
    other = Workspace(tmp_path / "workspace")
    shutil.copytree(shop.local(), other.local())
    other.run("first").child("final").write_json("smolmix.json", {"mixtures": mixtures})
    assert len(figures(other, "small")["runs"]) == shown


@pytest.mark.usefixtures("report")
def test_the_same_workspace_gives_the_same_bytes(shop: Workspace) -> None:
    before = shop.report("small").read_bytes("index.html")
    build_report(shop, "small")
    assert shop.report("small").read_bytes("index.html") == before


def test_duplicates_across_corpora_are_counted_and_shown(shop: Workspace, tmp_path: Path) -> None:
    other = Workspace(tmp_path / "workspace")
    shutil.copytree(shop.local(), other.local())
    copies = [
        Removal(
            part="part-00000",
            row=row,
            id=f"notes//00{row}",
            stage="dedup",
            reason="duplicate-exact",
            kept_id="shots//010",
        )
        for row in (3, 4)
    ]
    write_cross_corpus(other, ["clips", "notes", "shots"], *copies)
    write_cross_corpus(other, ["notes", "shots"], *copies)
    (found,) = [d for d in figures(other, "small")["duplicates"] if d["stage"] == "across corpora"]
    assert (found["corpus"], found["reason"], found["samples"]) == ("notes", "duplicate-exact", 2)
    build_report(other, "small")
    page = other.report("small").read_bytes("index.html").decode()
    assert "2 duplicate-exact in notes" in page


def test_a_mixture_without_a_draw_makes_a_report(shop: Workspace, tmp_path: Path) -> None:
    other = Workspace(tmp_path / "workspace")
    shutil.copytree(shop.local(), other.local())
    replace_selection(other.mixture("small"), selection_table([]))
    made = build_report(other, "small")
    assert made.samples > 0
    assert figures(other, "small")["totals"]["samples_drawn"] == 0
