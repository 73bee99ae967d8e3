"""What a mixture selects is fetched and little more: row groups, and archives that hold it."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.selections import put_mixture
from tests.support.served import served, tar_bytes

from smolmix.errors import DataError, IncompleteError, StaleError, UsageError
from smolmix.media import MediaReader
from smolmix.mixtures.selection.lock import CorpusLock
from smolmix.mixtures.selection.reader import mixture_folder
from smolmix.pipelines.fetch.run import FetchOptions, fetch
from smolmix.pipelines.fetch.scope import Scope
from smolmix.pipelines.fetch.selected_media import selected_files
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Source
from smolmix.sample import Sample, turns_of
from smolmix.schema import to_table
from smolmix.workspace import Workspace


def _adapt(row: Row) -> Iterator[Sample]:
    name = row.text("name")
    image = row.find(name) if name.startswith("a") else row.cell("image")
    turns = turns_of(("user", [0, "Q?"]), ("assistant", name))
    yield row.sample(turns=turns, media=(image,), category="x")


@pytest.fixture
def source(site: Any) -> Source:
    rows = [
        {"name": f"c{n}", "image": {"bytes": bytes([n]) * 20_000, "path": None}} for n in range(40)
    ]
    for name, extra in (("x", []), ("y", [{"name": "a/1.png", "image": None}])):
        out = io.BytesIO()
        table = pa.Table.from_pylist(rows + extra)
        pq.write_table(table, out, row_group_size=5, compression="none", use_dictionary=False)
        site.files[f"/{name}.parquet"] = out.getvalue()
    for name in ("a", "b"):
        site.files[f"/{name}.tar.gz"] = tar_bytes({f"{name}/1.png": b"png"})
    return served(
        site,
        format=Parquet(columns=("name", "image")),
        adapt=_adapt,
        rows_in=("*.parquet",),
        media_in=("*.tar.gz",),
    )


_V1 = CorpusLock(curated="", counts="", revision="v1")


def _lock(source: Source, whole: Workspace, here: Workspace, names: set[str]) -> list[Sample]:
    """Write curated parts and a lock that selects the samples that answer with `names`."""
    rows, samples = [], []
    for unit in raw_units(source, whole):
        part = [s for a in read_unit(source, unit, whole) for s in a.samples]
        with here.curated(source.id).open(f"{unit.name}.parquet", "wb") as out:
            pq.write_table(to_table(part), out)
        for row, sample in enumerate(part):
            if sample.turns[-1].text in names:
                rows.append((sample.id, source.id, unit.name, row, 0))
                samples.append(sample)
    put_mixture(here.mixture("mine"), rows, corpora={source.id: _V1})
    return samples


def _fetch_for(source: Source, space: Workspace) -> None:
    needed = selected_files(source.id, mixture_folder("mine", space), space)
    scope = Scope(selected=tuple(sorted(needed.files.items())), named=needed.named)
    fetch(source, space, FetchOptions(scope=scope, revision=needed.revision))


def test_only_row_groups_and_archives_that_hold_the_selection_are_fetched(
    source: Source, site: Any, tmp_path: Path
) -> None:
    whole, here = Workspace(tmp_path / "whole"), Workspace(tmp_path / "here")
    fetch(source, whole)
    picked = _lock(source, whole, here, {"c7", "c33", "a/1.png"})
    assert len(picked) == 5
    site.requests.clear()
    site.trouble = [("status", 503, "0")]
    _fetch_for(source, here)
    reader, full = MediaReader(here), MediaReader(whole)
    for sample in picked:
        (ref,) = sample.media[0].refs
        assert reader.read(ref) == full.read(ref)
    asked = {path for method, path, _ in site.requests if method == "GET"}
    assert "/b.tar.gz" not in asked
    assert "/a.tar.gz" in asked
    spans = [r for m, p, r in site.requests if m == "GET" and p.endswith("x.parquet")]
    assert all(spans), "a parquet file is requested by range only"
    entry = here.raw("served").read_json("fetch.json")["files"][-1]
    assert entry["row_groups"] == [1, 6]
    used = here.local("raw/served/v1/x.parquet").stat().st_blocks * 512
    assert used < len(site.files["/x.parquet"]) / 2
    with pytest.raises(IncompleteError, match="only the media that a mixture needs"):
        raw_units(source, here)
    site.requests.clear()
    _fetch_for(source, here)
    assert not [r for r in site.requests if r[0] == "GET"]


def test_a_later_whole_fetch_fills_the_holes(source: Source, tmp_path: Path) -> None:
    whole, here = Workspace(tmp_path / "whole"), Workspace(tmp_path / "here")
    fetch(source, whole)
    _lock(source, whole, here, {"c7"})
    _fetch_for(source, here)
    fetch(source, here)
    name = "raw/served/v1/x.parquet"
    assert here.local(name).read_bytes() == whole.local(name).read_bytes()
    assert len(raw_units(source, here)) == len(raw_units(source, whole))


def test_a_lock_that_does_not_help_is_refused(source: Source, tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    with pytest.raises(UsageError, match="no built mixture of that name"):
        mixture_folder("none", space)
    folder = space.mixture("mine")
    put_mixture(folder, [], corpora={"other": _V1})
    with pytest.raises(UsageError, match="nothing of served"):
        selected_files("served", folder, space)
    put_mixture(folder, [("x", "served", "p", 0, 0)], corpora={"served": _V1})
    with pytest.raises(DataError, match="the selection names it"):
        selected_files("served", folder, space)


def test_curated_parts_that_are_not_the_locks_are_refused(source: Source, tmp_path: Path) -> None:
    whole, here = Workspace(tmp_path / "whole"), Workspace(tmp_path / "here")
    fetch(source, whole)
    _lock(source, whole, here, {"c7", "c33"})
    first = pq.read_table(here.mixture("mine").local("selection.parquet")).slice(0, 1).to_pylist()
    place = here.curated(source.id).local(f"{first[0]['part']}.parquet")
    table = pq.read_table(place)
    for changed in (table.slice(1), table.slice(0, 1)):  # rows moved; rows are gone
        pq.write_table(changed, place)
        with pytest.raises(StaleError, match=r"the selection was made from .*row \d+ .*, it was"):
            _fetch_for(source, here)
    assert not here.exists(f"raw/{source.id}")
