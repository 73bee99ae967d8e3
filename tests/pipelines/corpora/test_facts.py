"""The catalogue says what the publishers say: `facts.csv` is the fact sheet, read on its own.

The sheet's `licence` is how ours begins, `?` is what it could not establish, and rows are blank
where no count is published.
"""

import csv
from pathlib import Path

import pytest

from smolmix.mixtures.spec.load import read_spec, shipped
from smolmix.pipelines.corpora import SOURCES

FACTS = list(csv.DictReader((Path(__file__).parent / "facts.csv").read_text().splitlines()))


@pytest.mark.parametrize("fact", FACTS, ids=lambda f: f["id"])
def test_a_corpus_is_catalogued_as_it_is_published(fact: dict[str, str]) -> None:
    source = SOURCES[fact["id"]]
    assert source.hub_id == fact["hub"]
    assert source.licence.startswith(fact["licence"])
    if fact["gated"] == "?":
        assert "gating" in source.unverified
    else:
        assert source.gated == (fact["gated"] == "yes")
    assert source.rows == (int(fact["rows"]) if fact["rows"] else None)
    assert source.verified == (fact["verified"] == "yes")
    assert (source.role, source.modality) == (fact["role"], fact["modality"])


def test_the_cauldron_has_the_rows_of_its_fifty_configs() -> None:
    source = SOURCES["the-cauldron"]
    assert len(source.subsets) == 50
    assert sum(s.rows or 0 for s in source.subsets) == source.rows


def test_what_the_shipped_mixtures_take_of_llava_onevision_is_fetched() -> None:
    source = SOURCES["llava-onevision-data"]
    parts = [c for name in shipped() for c in read_spec(name).spec.components.values()]
    taken = {subset for c in parts if c.corpus == source.id for subset in c.subset}
    assert {"ureader_cap", "ureader_ie", "ai2d(cauldron,llava_format)"} < taken
    for subset in taken:
        path = f"{subset}/train-00000-of-00001.parquet"
        assert source.holds_rows(path), subset
        assert source.subset(path) == subset
