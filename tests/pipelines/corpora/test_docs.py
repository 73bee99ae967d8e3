"""The catalogue is shown as it is: in the terminal, as JSON, and in docs/corpora.md."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.media import MediaReader
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.corpora.table import markdown
from smolmix.pipelines.sources.raw_units import raw_units, read_unit

ROOT = Path(__file__).parents[3]


def test_the_page_of_corpora_is_current() -> None:
    assert (ROOT / "docs" / "corpora.md").read_text() == markdown(SOURCES.values()), (
        "run `python -m smolmix.pipelines.corpora.table`"
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
        for path in (ROOT / "pipelines" / "corpora").glob("*.py")
        if re.search(r"^SOURCES?\b.*=", text := path.read_text(), re.MULTILINE)
        and path.name != "__init__.py"
    }
    assert len(lengths) > 25
    assert {name: count for name, count in lengths.items() if count > 90} == {}
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    assert "pipelines/corpora/__init__.py" in guide


def test_the_corpus_of_the_guide_does_what_its_fixture_expects(
    publish: Callable[..., Any],
    install: Callable[..., Any],
    tmp_path: Path,
) -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    module: dict[str, Any] = {}
    exec(guide.split("```python\n")[1].split("```")[0], module)
    fixture = json.loads(guide.split("```json\n")[1].split("```")[0])
    source = module["SOURCE"]
    expect = publish(source, tmp_path / "hub", fixture=fixture)["expect"]
    workspace = install(source, tmp_path / "hub", tmp_path / "ws")
    found = [a for u in raw_units(source, workspace) for a in read_unit(source, u, workspace)]
    samples = [s for a in found for s in a.samples]
    assert len(samples) == expect["samples"] > 0
    assert Counter(d.reason for a in found for d in a.dropped) == Counter(expect["dropped"])
    assert all(MediaReader(workspace).read(s.media[0].refs[0]) for s in samples)
