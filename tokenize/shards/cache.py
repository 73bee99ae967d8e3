"""What has been tokenized already: the generations of one cache folder, and their index.

A cache only grows. Each run that lacks something writes one more *generation*, a stage folder of
its own that is named by the digest of what it holds; nothing written is ever rewritten. So a new
mixture tokenizes only what no earlier one needed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from smolmix.storage import Folder
from smolmix.workspace import MANIFESTS, STAGE_FILE, Manifest, manifests, stage_record

INDEX_SUFFIX = ".index.parquet"
DROPPED_SUFFIX = ".dropped.parquet"


def generations(cache: Folder) -> list[Folder]:
    """Return the whole generations of a cache, in order of name."""
    if not cache.exists():
        return []
    names = sorted(p.rstrip("/").rsplit("/", 1)[-1] for p in cache.fs.ls(cache.path, detail=False))
    return [cache.child(n) for n in names if cache.child(n).exists(STAGE_FILE)]


def withdraw_damaged(cache: Folder) -> list[str]:
    """Withdraw the units whose files are gone or of another size; return the files' names.

    Only sizes are looked at, so it costs nothing; `smolmix verify` compares every byte.
    """
    damaged = []
    for generation in generations(cache):
        gone = False
        for manifest in manifests(generation):
            bad = [
                entry.name
                for entry in manifest.files
                if not generation.exists(entry.name)
                or int(generation.fs.size(generation.at(entry.name))) != entry.size
            ]
            if bad:
                gone = True
                generation.remove(f"{MANIFESTS}/{manifest.unit}.json")
                damaged += [generation.at(name) for name in bad]
        if gone:
            generation.remove(STAGE_FILE)
    return damaged


def units(cache: Folder, **info: Any) -> Iterator[tuple[Folder, Manifest]]:
    """Yield (generation, manifest) of every unit whose generation records this `info`."""
    for generation in generations(cache):
        recorded = stage_record(generation).info
        if all(recorded.get(k) == v for k, v in info.items()):
            for manifest in manifests(generation):
                yield generation, manifest


def frames(cache: Folder, suffix: str, **info: Any) -> pl.DataFrame:
    """Return the rows of all index (or dropped) files, with the shard each row lies in.

    Returns:
        The files' columns, and `shard` (path below the workspace's root) and `row`. Empty
        without columns where the cache holds nothing.
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
