"""From features to confirmed pairs: candidates are all close hashes, and pixels confirm copies."""

from collections.abc import Callable
from typing import Any

import pyarrow.parquet as pq
from tests.support.pictures import blots, encoded

from smolmix.engine.stage import RunOptions
from smolmix.pipelines.curate.dedup.clusters import Clusters
from smolmix.pipelines.curate.dedup.media import candidates, confirm
from smolmix.pipelines.curate.dedup.media.tables import MediaTables
from smolmix.pipelines.curate.measure import media_features
from smolmix.pipelines.curate.settings import Dedup, ImageDedup
from smolmix.pipelines.curate.steps import Steps
from smolmix.workspace import Workspace, part_files

DEDUP = Dedup(images=ImageDedup(crops=False, flips=False))


def test_candidates_are_all_close_hashes_and_copies_are_confirmed(
    planted: Callable[..., Any], curated: Callable[..., Any], workspace: Workspace
) -> None:
    corpus = planted()
    for seed in range(12):
        corpus.ask(f"png{seed}", corpus.file(f"{seed}.png", encoded(blots(seed))))
        if seed % 3 == 0:
            corpus.ask(
                f"jpg{seed}", corpus.file(f"{seed}.jpg", encoded(blots(seed), "JPEG", quality=50))
            )
    curated(corpus.write(files=2), policy="none")
    steps = Steps(workspace=workspace, options=RunOptions(quiet=True))
    media = MediaTables(urls=(workspace.measured("planted").url,))
    folder = confirm.find(steps, "tried", media, DEDUP)
    assert folder is not None
    name = confirm.step_name("tried", DEDUP)

    hashes = {
        digest: values[0]
        for batch in media_features.read_batches(
            workspace.measured("planted"), ["digest", "hashes"]
        )
        for digest, values in zip(*batch.to_pydict().values(), strict=True)
    }
    close = {
        (a, b)
        for a in hashes
        for b in hashes
        if a < b and (hashes[a] ^ hashes[b]).bit_count() <= DEDUP.images.max_bits
    }
    proposed = steps.folder(candidates.STAGE.name, name)
    rows = [
        row
        for file in part_files(proposed, candidates.SUFFIX)
        for row in pq.read_table(proposed.local(file)).to_pylist()
    ]
    assert {(r["one"], r["other"]) for r in rows} == close
    assert len(rows) == len(close) >= 4
    groups = Clusters.load(folder).canonical
    assert len(groups) == 8
    assert len(set(groups.values())) == 4


def test_a_single_picture_needs_no_comparison(
    planted: Callable[..., Any], curated: Callable[..., Any], workspace: Workspace
) -> None:
    corpus = planted()
    corpus.ask("one", corpus.file("one.png", encoded(blots(1))))
    curated(corpus.write(), policy="none")
    steps = Steps(workspace=workspace, options=RunOptions(quiet=True))
    media = MediaTables(urls=(workspace.measured("planted").url,))
    assert confirm.find(steps, "tried", media, DEDUP) is None


def test_each_way_to_compare_has_a_folder_of_its_own() -> None:
    names = {
        confirm.step_name("c", Dedup()),
        confirm.step_name("c", DEDUP),
        confirm.step_name("c", Dedup(same_image="one")),  # compares media in the same way
    }
    assert len(names) == 2
