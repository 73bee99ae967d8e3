"""The cache of ids or tiles of one corpus: its generations, and an index of their rows.

A cache only grows. A run that finds rows missing writes them as a new *generation*: a stage folder
of its own, named by the digest of its work. No file is rewritten, so that a new mixture tokenizes
only the samples that no earlier mixture contained.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from smolmix.storage import Folder, digest_json
from smolmix.workspace import MANIFESTS, STAGE_FILE, Manifest, manifests, stage_record

INDEX_SUFFIX = ".index.parquet"
DROPPED_SUFFIX = ".dropped.parquet"


def generations(cache: Folder) -> list[Folder]:
    """Return the complete generations of a cache, in order of name."""
    if not cache.exists():
        return []
    names = sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in cache.fs.ls(cache.path, detail=False))
    return [cache.child(n) for n in names if cache.child(n).exists(STAGE_FILE)]


def new_generation(cache: Folder, work: object) -> Folder:
    """Return the folder of a new generation.

    Args:
        cache: that gets the generation.
        work: JSON value that says what the generation will hold; its digest is the folder's name.
    """
    return cache.child(digest_json(work)[:16])


def write_index(out: Path, unit: str, index: pl.DataFrame) -> None:
    """Write a unit's index: one row for each row of its shard `<unit>.arrow`, in order."""
    index.write_parquet(out / f"{unit}{INDEX_SUFFIX}")


def withdraw_damaged(cache: Folder) -> list[str]:
    """Withdraw the units with a file that is missing or of another size; return these files' paths.

    A withdrawn unit is no longer committed, so that the next run does it again. Only sizes are
    compared, which is cheap; `smolmix verify` compares every byte.
    """
    damaged = []
    for generation in generations(cache):
        incomplete = False
        for manifest in manifests(generation):
            bad = [
                entry.name
                for entry in manifest.files
                if not generation.exists(entry.name)
                or int(generation.fs.size(generation.at(entry.name))) != entry.size
            ]
            if bad:
                incomplete = True
                generation.remove(f"{MANIFESTS}/{manifest.unit}.json")
                damaged += [generation.at(name) for name in bad]
        if incomplete:
            generation.remove(STAGE_FILE)
    return damaged


def units(cache: Folder, **info: Any) -> Iterator[tuple[Folder, Manifest]]:
    """Yield (generation, manifest) of every unit of the generations that record this `info`."""
    for generation in generations(cache):
        recorded = stage_record(generation).info
        if all(recorded.get(k) == v for k, v in info.items()):
            for manifest in manifests(generation):
                yield generation, manifest


def frames(cache: Folder, suffix: str, **info: Any) -> pl.DataFrame:
    """Return the rows of all index (or dropped) files, with the shard row that each describes.

    Args:
        cache: `ids/<profile>/<corpus>` or `tiles/<pixel profile>/<corpus>`.
        suffix: `INDEX_SUFFIX` or `DROPPED_SUFFIX`.
        info: only of generations that record these values.

    Returns:
        The files' columns, `shard` (path below the workspace) and `row` (int32); without columns
        if the cache is empty.
    """
    found = []
    for generation, manifest in units(cache, **info):
        name = f"{manifest.unit}{suffix}"
        if not any(f.name == name for f in manifest.files):
            continue
        with generation.open(name) as stream:
            table = pl.read_parquet(stream.read())
        shard = "/".join([*Path(generation.path).parts[-4:], f"{manifest.unit}.arrow"])
        found.append(
            table.with_row_index("row").with_columns(
                pl.lit(shard).alias("shard"), pl.col("row").cast(pl.Int32)
            )
        )
    return pl.concat(found) if found else pl.DataFrame()
