"""The report in headless Chromium: drawn, quiet, offline, filterable, linkable, safe."""

import json
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.pipelines.report.page import charts
from smolmix.pipelines.report.page.page import json_text
from smolmix.pipelines.report.page.workspace import build_overview
from smolmix.pipelines.report.run import Report, build_report
from smolmix.sample import Sample
from smolmix.workspace import Workspace

Visits = Callable[..., Any]  # opens a page: see the fixture `visit`
VIEWS = [(1280, 900, "light"), (390, 844, "dark")]


def _url(report: Report) -> str:
    return Path(report.page).as_uri()


@pytest.mark.parametrize(("width", "height", "scheme"), VIEWS)
def test_every_plot_is_drawn_without_a_console_message_or_a_request_out(
    report: Report, visit: Visits, width: int, height: int, scheme: str
) -> None:
    here = visit(width, height, scheme)
    here.open(_url(report))
    marks = here.page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('.vega')].map(v =>"
        "[v.id, v.querySelectorAll('[role=graphics-symbol]').length]))"
    )
    assert len(marks) >= 18
    assert all(count > 0 for count in marks.values()), marks
    picture = here.page.locator("#cards img").first
    picture.scroll_into_view_if_needed()
    deadline = time.monotonic() + 20
    while not picture.evaluate("i => i.complete && i.naturalWidth > 0"):
        assert time.monotonic() < deadline, "no picture was shown"
        here.page.wait_for_timeout(100)
    assert here.faults == []
    folder = _url(report).removesuffix("index.html")
    assert all(url.startswith((folder, "data:")) for url in here.requests)
    assert here.page.evaluate("document.documentElement.scrollWidth") <= width
    assert here.page.evaluate("document.documentElement.dataset.theme") == scheme


def test_durations_stand_on_their_axis_under_a_rule_at_the_mean(
    report: Report, visit: Visits
) -> None:
    here = visit()
    here.open(_url(report))
    boxes = here.page.evaluate(
        "[...document.querySelectorAll('#vega-durations .mark-rect path')].map(m =>"
        "[m.getBBox().y, m.getBBox().height])"
    )
    assert len({round(top + height, 1) for top, height in boxes}) == 1
    assert max(height for _, height in boxes) > 100
    assert "mean 4 s" in here.page.text_content("#plot-durations")


def test_a_target_and_a_limit_of_durations_are_rules_of_their_own() -> None:
    buckets = [
        {"bucket": "0 to 30 s", "from_s": 0.0, "to_s": 30.0, "samples": 5},
        {"bucket": "over 30 s", "from_s": 30.0, "to_s": None, "samples": 2},
    ]
    marks = {"mean": 12.5, "target": 210.0, "limit": None}
    plot = charts.durations(buckets, marks=marks, about="")
    bars, rules = plot.spec["layer"]
    drawn = plot.spec["datasets"]
    marked = [r["mark"] for r in drawn[rules["data"]["name"]]]
    assert marked == ["mean 12.5 s", "target 210 s"]
    (end,) = {b["to_s"] for b in drawn[bars["data"]["name"]]} - {30.0}
    assert end == bars["encoding"]["x"]["scale"]["domain"][1] > 210


def test_the_axis_of_durations_ends_where_the_clips_do() -> None:
    buckets = [
        {"bucket": "0 to 30 s", "from_s": 0.0, "to_s": 30.0, "samples": 5},
        {"bucket": "30 to 600 s", "from_s": 30.0, "to_s": 600.0, "samples": 0},
        {"bucket": "over 600 s", "from_s": 600.0, "to_s": None, "samples": 0},
    ]
    plot = charts.durations(buckets, marks={"mean": 3.0}, about="")
    bars, _ = plot.spec["layer"]
    assert bars["encoding"]["x"]["scale"]["domain"] == [0, 30.0]
    assert len(plot.spec["datasets"][bars["data"]["name"]]) == 1
    assert [row["samples"] for row in plot.rows] == [5, 0, 0, None]


def test_a_hostile_caption_stays_text(report: Report, visit: Visits, hostile: str) -> None:
    here = visit()
    here.open(_url(report))
    cards = json.loads(here.page.text_content("#samples"))
    key = next(c["key"] for c in cards if c["id"] == "shots//000")
    here.page.goto(f"{_url(report)}#sample={key}")
    here.page.wait_for_selector("dialog[open] .turn.assistant")
    assert hostile in here.page.text_content("dialog .turn.assistant")
    spelled = here.page.text_content("dialog .tokens:not(.legend)").replace("⏎\n", "\n")
    assert hostile.removesuffix("\u2028") in spelled  # whose bytes are three tokens
    assert here.page.title() == "Mixture small"
    assert here.page.locator("img[src='x']").count() == 0
    assert hostile.split("{{")[0].strip() in here.page.text_content("header")
    assert "49" not in here.page.text_content("header")
    assert here.faults == []


def test_filters_narrow_the_samples_and_are_in_the_address(report: Report, visit: Visits) -> None:
    here = visit()
    here.open(_url(report))
    page = here.page

    def shown() -> int:
        page.wait_for_timeout(350)
        return int(page.text_content("#status").split()[0])

    everything = shown()
    page.select_option("[name=corpus]", "shots")
    page.select_option("[name=state]", "dropped")
    assert shown() == 5 < everything
    page.select_option("[name=reason]", "duplicate-near")
    assert shown() == 2
    assert page.url.endswith("#browse?corpus=shots&state=dropped&reason=duplicate-near")
    page.click("#clear")
    page.select_option("[name=cot]", "declared")
    assert shown() == 3
    page.click("#clear")
    page.select_option("[name=category]", "caption")
    captions = shown()
    page.fill("[name=q]", "picture 12?")
    assert shown() == 1 < captions
    page.fill("[name=q]", "nothing holds this")
    assert shown() == 0
    page.click("#clear")
    assert shown() == everything


def test_deep_links_open_a_view_and_a_pair_side_by_side(report: Report, visit: Visits) -> None:
    here = visit()
    here.open(_url(report) + "#browse?corpus=notes&state=picked")
    assert here.page.eval_on_selector("[name=corpus]", "e => e.value") == "notes"
    texts = here.page.eval_on_selector_all("#cards .badges", "b => b.map(e => e.textContent)")
    assert texts
    assert all("notes" in t and "in the mixture" in t for t in texts)
    cards = json.loads(here.page.text_content("#samples"))
    double = next(c for c in cards if c.get("reason") == "duplicate-near")
    other = visit()
    other.open(f"{_url(report)}#sample={double['key']}")
    other.page.wait_for_selector("dialog[open] .pair article:nth-child(2)")
    keys = other.page.eval_on_selector_all("dialog article", "a => a.map(e => e.dataset.key)")
    assert keys == [double["key"], double["partner"]]
    other.page.keyboard.press("Escape")
    assert other.page.locator("dialog[open]").count() == 0
    other.page.goto(f"{_url(report)}#sample=%E0%A4<script>")
    other.page.wait_for_selector("dialog[open] .note")
    assert other.page.text_content("dialog .note") == "No such sample."
    other.page.keyboard.press("Escape")
    other.page.locator("#cards a").first.focus()
    other.page.keyboard.press("Enter")
    other.page.wait_for_selector("dialog[open] article")
    assert here.faults + other.faults == []


def test_a_sample_is_shown_as_the_model_sees_it(report: Report, visit: Visits) -> None:
    here = visit()
    here.open(_url(report))
    cards = json.loads(here.page.text_content("#samples"))
    wide = [c for c in cards if c["media"] and c["media"][0]["width"] == 64]
    picture = next(c for c in wide if c["id"] != "shots//000")
    assert picture["media"][0]["grid"] == [2, 2]  # 64 × 48 under nano: 2 × 2 tiles of 32 px
    page = here.page
    page.goto(f"{_url(report)}#sample={picture['key']}")
    page.wait_for_selector("dialog[open] svg.grid")
    assert page.locator("dialog svg.grid line").count() == 12
    assert "2 × 2 sub-images" in page.get_attribute("dialog .picture img", "alt")
    learned = page.eval_on_selector_all(
        "dialog .tokens:not(.legend) .on", "s => s.map(e => e.textContent).join('')"
    )
    number = int(picture["id"][-3:])
    assert learned == f" A picture with number {number}.<end_of_utterance>"
    image_tokens = page.eval_on_selector_all(
        "dialog .tokens:not(.legend) .i", "s => s.map(e => e.textContent)"
    )
    assert image_tokens == ["<image> × 4"] * 5
    clip = next(c for c in cards if c["corpus"] == "clips")
    page.goto(f"{_url(report)}#sample={clip['key']}")
    page.wait_for_selector("dialog[open] .strip figure")
    times = page.eval_on_selector_all("dialog .strip figcaption", "c => c.map(e => e.textContent)")
    assert times[:3] == ["0 s", "0.5 s", "1 s"]
    assert len(times) == 8
    assert here.faults == []


def test_the_page_is_usable_without_a_mouse_and_by_a_screen_reader(
    report: Report, visit: Visits
) -> None:
    here = visit()
    here.open(_url(report))
    page = here.page
    assert page.get_attribute("html", "lang") == "en"
    assert page.evaluate("[...document.images].every(i => i.hasAttribute('alt'))")
    assert page.evaluate("[...document.querySelectorAll('.vega')].every(v => v.ariaLabel)")
    assert page.evaluate(
        "[...document.querySelectorAll('input, select')].every(e => e.labels.length === 1)"
    )
    levels = page.eval_on_selector_all("h1,h2,h3", "h => h.map(e => +e.tagName[1])")
    assert all(b - a <= 1 for a, b in pairwise(levels))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


COLOURS = """
() => {
  const pen = document.createElement("canvas").getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const names = ["--ink", "--soft", "--accent", "--warn", "--special-kind", "--marker-kind",
    "--image-kind", "--on-ink", "--ground", "--panel", "--on"];
  return Object.fromEntries(names.map((name) => {
    pen.fillStyle = style.getPropertyValue(name);
    pen.fillRect(0, 0, 1, 1);
    return [name, [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3)];
  }));
}
"""


def _luminance(rgb: Sequence[int]) -> float:
    """Source: WCAG 2.2, "relative luminance"."""
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in _units(rgb)]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _units(rgb: Sequence[int]) -> list[float]:
    return [v / 255 for v in rgb]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrast_is_at_least_four_and_a_half(
    report: Report, visit: Visits, scheme: str
) -> None:
    here = visit(scheme=scheme)
    here.open(_url(report))
    light = {name: _luminance(rgb) for name, rgb in here.page.evaluate(COLOURS).items()}
    inks = [n for n in light if n not in ("--ground", "--panel", "--on", "--on-ink")]
    pairs = [(ink, ground) for ink in inks for ground in ("--ground", "--panel")]
    checked = 0
    for pair in [*pairs, ("--on-ink", "--on")]:
        dark, bright = sorted(light[name] for name in pair)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, pair
        checked += 1
    assert checked == 15


def test_pictures_are_encoded_anew_and_small(report: Report) -> None:
    names = report.folder.child("media").names()
    assert len(names) == report.pictures > 20
    for name in names:
        with report.folder.child("media").open(name) as stream, Image.open(stream) as picture:
            assert picture.format == "WEBP"
            assert max(picture.size) <= 384
            assert not picture.getexif()


def test_json_inside_a_script_cannot_end_it(hostile: str) -> None:
    text = json_text({"caption": hostile})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == {"caption": hostile}


def _mixture(name: str, corpus: str) -> dict[str, Any]:
    return {"name": name, "components": {corpus: {"corpus": corpus}}}


@pytest.mark.parametrize("count", [1, 12])
def test_one_sample_and_text_alone_make_a_sensible_report(
    workspace: Workspace,
    make_corpus: Callable[[Workspace, Sequence[Sample]], None],
    make_mixture: Callable[[Workspace, dict[str, Any]], None],
    make_sample: Callable[..., Sample],
    visit: Visits,
    count: int,
) -> None:
    make_corpus(workspace, [make_sample("words", n) for n in range(count)])
    make_mixture(workspace, _mixture("plain", "words"))
    made = build_report(workspace, "plain")
    assert made.pictures == 0
    here = visit()
    here.open(_url(made))
    text = here.page.text_content("main")
    assert "The mixture has no images." in text
    assert "The mixture has no video." in text
    assert "No run was trained on this mixture yet" in text
    assert here.page.text_content("#status").split()[0] == str(count)
    assert here.faults == []


def test_an_empty_workspace_and_a_full_one_have_a_page_of_their_own(
    workspace: Workspace, report: Report, shop: Workspace, visit: Visits
) -> None:
    assert report.samples
    empty, full = build_overview(workspace), build_overview(shop)
    assert set(empty.totals.values()) == {0}
    assert full.totals == {"fetched": 3, "curated": 3, "mixtures": 1, "runs": 1}
    here = visit(390, 844)
    for made, said in ((empty, "Nothing was fetched yet"), (full, "reports/small/index.html")):
        here.page.goto(Path(made.page).as_uri())
        here.page.wait_for_selector("html[data-drawn=yes]", state="attached")
        assert said in here.page.text_content("main")
        for link in here.page.query_selector_all("main td a"):
            assert Path(made.page).parent.joinpath(str(link.get_attribute("href"))).exists()
        assert here.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert made.bytes_on_disk < 60_000
    assert here.faults == []


def test_report_without_a_name_writes_the_page_of_the_workspace(workspace: Workspace) -> None:
    workspace.local().mkdir(parents=True)
    done = CliRunner().invoke(app, ["report", "--workspace", workspace.path])
    assert done.exit_code == 0, done.output
    assert "0 fetched, 0 curated, 0 mixtures, 0 runs" in done.output
    assert workspace.child("reports").exists("index.html")
