"""The catalogue is shown as it is: in the terminal, as JSON, and in docs/corpora.md."""

import json
import re
from pathlib import Path

from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.pipelines.sources import SOURCES
from smolmix.pipelines.sources.table import markdown

ROOT = Path(__file__).parents[3]


def test_the_page_of_corpora_is_current() -> None:
    assert (ROOT / "docs" / "corpora.md").read_text() == markdown(SOURCES.values()), (
        "run `python -m smolmix.pipelines.sources.table`"
    )


def test_the_table_as_json_has_what_scripts_need() -> None:
    done = CliRunner().invoke(app, ["corpora", "--json"])
    entries = json.loads(done.stdout)
    keys = {"id", "hub_id", "revision", "role", "modality", "licence", "gated", "rows", "verified"}
    assert [e["id"] for e in entries] == list(SOURCES)
    assert all(keys <= set(e) for e in entries)


def test_the_table_has_a_row_for_each_subset_whose_count_is_known() -> None:
    shown = CliRunner().invoke(app, ["corpora"]).stdout
    subsets = [s for source in SOURCES.values() for s in source.subsets if s.rows is not None]
    assert len(subsets) > 140
    for subset in subsets:
        assert f"  {subset.name} " in shown


def test_one_corpus_in_full_shows_the_papers_warning() -> None:
    shown = CliRunner().invoke(app, ["corpora", "smoltalk"]).stdout
    assert "6.5 on image" in shown
    assert "HuggingFaceTB/smoltalk" in shown


def test_adding_a_corpus_takes_a_module_of_at_most_90_lines() -> None:
    lengths = {
        path.name: len(text.splitlines())
        for path in (ROOT / "pipelines" / "sources").glob("*.py")
        if re.search(r"^SOURCES?\b.*=", text := path.read_text(), re.MULTILINE)
        and path.name != "__init__.py"
    }
    assert len(lengths) > 35
    assert {name: count for name, count in lengths.items() if count > 90} == {}
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    assert "pipelines/sources/__init__.py" in guide
