"""The token ids of curated samples: `ids/<profile>/<corpus>` and the stage that writes it.

This module alone knows the folder and its index. The folder is a cache of generations
(`smolmix.tokenize.shards.cache`). Each unit of a generation has a shard of ids (`IDS_SCHEMA`) and
an index with one row for each row of the shard.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import polars as pl

from smolmix import curated
from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.pipelines.pretokenize.generation import run_generation, withdraw_damaged
from smolmix.profiles import Profile
from smolmix.schema import MEDIA_FACTS_VERSION
from smolmix.storage import Folder, digest_json
from smolmix.tokenize.chat import encode, tokenizer
from smolmix.tokenize.shards import cache, shards
from smolmix.workspace import Workspace

_VERSION = 1
_SAMPLES_PER_UNIT = 20_000
_BATCH = 512

# One row a sample. It is named by its place in the curated corpus, its id and its digest, because
# a corpus that is curated again may hold another sample in the same place or under the same id.
_INDEX: dict[str, Any] = {
    "part": pl.String,
    "part_row": pl.Int64,
    "id": pl.String,
    "digest": pl.String,
    "modality": pl.String,
    "tokens": pl.Int32,
    "supervised": pl.Int32,
    "n_tiles": pl.Int32,
    "media": pl.List(pl.String),  # digests, in the order of their blocks
    "tiles": pl.List(pl.Int32),  # number of tiles of each
}
_SAMPLE = ["part", "part_row", "id", "digest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeInput:
    """The samples that a unit encodes."""

    workspace: str
    corpus: str
    part: str
    rows: tuple[int, ...]  # of the part, ascending
    profile: Profile


def ids_folder(workspace: Workspace, profile: Profile, corpus: str) -> Folder:
    """Return `ids/<profile>/<corpus>`."""
    return workspace.child("ids", profile.name, corpus)


def _recorded(profile: Profile) -> dict[str, Any]:
    """Return what a generation must record for its ids to be those of this profile and version."""
    vocabulary = tokenizer.load(profile.chat.tokenizer).digest
    return {"vocabulary": vocabulary, "version": _VERSION, "facts": MEDIA_FACTS_VERSION}


def ids_index(workspace: Workspace, profile: Profile, corpus: str) -> pl.DataFrame:
    """Return the encoded samples of a corpus, each once.

    Returns:
        `part`, `part_row`, `id`, `digest`, `modality`, `tokens`, `supervised`, `n_tiles`, `media`
        and `tiles` (one entry a medium), and the place of the ids: `shard` (path below the
        workspace) and `row`.
    """
    folder = ids_folder(workspace, profile, corpus)
    found = cache.frames(folder, cache.INDEX_SUFFIX, **_recorded(profile))
    if found.is_empty():
        return pl.DataFrame(schema={**_INDEX, "shard": pl.String, "row": pl.Int32})
    # Two runs at the same time may both encode a sample; the first of the copies is used.
    return found.unique(_SAMPLE, keep="first", maintain_order=True)


def ensure_ids(
    workspace: Workspace,
    corpus: str,
    wanted: pl.DataFrame,
    profile: Profile,
    options: RunOptions,
) -> RowAccounting:
    """Encode the wanted samples whose ids are not cached; return their accounting.

    Args:
        workspace: holds the curated corpus; gets `ids/<profile>/<corpus>`.
        corpus: its name.
        wanted: `part` and `row` of each sample, without repeats.
        profile: chat style, and the sizes that decide the visual tokens.
        options: workers, and how much is printed.

    Raises:
        DataError: a unit failed; the others are kept.
    """
    folder, recorded = ids_folder(workspace, profile, corpus), _recorded(profile)
    withdraw_damaged(folder, options)
    return run_generation(
        STAGE,
        _missing(workspace, corpus, wanted, profile),
        folder,
        versions={name: recorded[name] for name in ("version", "facts")},
        info=recorded | {"profile": asdict(profile), "corpus": corpus},
        options=options,
    )


def _missing(
    workspace: Workspace, corpus: str, wanted: pl.DataFrame, profile: Profile
) -> list[Unit[EncodeInput]]:
    cached = set(ids_index(workspace, profile, corpus).select(_SAMPLE).iter_rows())
    params = {"profile": profile.digest(), "vocabulary": _recorded(profile)["vocabulary"]}
    units = list[Unit[EncodeInput]]()
    for (part,), group in wanted.sort("part", "row").group_by("part", maintain_order=True):
        rows = curated.read_rows(workspace.curated(corpus), str(part), ["id", "digest"])
        missing = [r for r in rows[group["row"]].iter_rows() if (part, *r) not in cached]
        for start in range(0, len(missing), _SAMPLES_PER_UNIT):
            chunk = missing[start : start + _SAMPLES_PER_UNIT]
            payload = EncodeInput(
                workspace=workspace.url,
                corpus=corpus,
                part=str(part),
                rows=tuple(row for row, _id, _digest in chunk),
                profile=profile,
            )
            inputs = {"samples": digest_json(chunk)}
            name = f"{part}-{len(units):05d}"
            units.append(Unit(name=name, inputs=inputs, params=params, payload=payload))
    return units


def _encode(unit: Unit[EncodeInput], context: UnitContext) -> Result:
    """Write the unit's shard of ids and its index."""
    payload = unit.payload
    vocabulary = tokenizer.load(payload.profile.chat.tokenizer)
    folder = Workspace(payload.workspace).curated(payload.corpus)
    index = list[dict[str, Any]]()

    def rows() -> Iterator[shards.IdsRow]:
        samples = curated.read_samples_at(folder, payload.part, payload.rows)
        while batch := list(islice(samples, _BATCH)):
            encoded = encode.encode([s for _, s in batch], payload.profile, vocabulary)
            for (part_row, sample), one in zip(batch, encoded, strict=True):
                row = shards.IdsRow(
                    id=sample.id,
                    digest=sample.digest(),
                    input_ids=one.input_ids,
                    spans=one.spans,
                    media=tuple(sample.media[i].digest for i in one.media),
                    tiles=one.tiles,
                )
                index.append(
                    {
                        "part": payload.part,
                        "part_row": part_row,
                        "id": row.id,
                        "digest": row.digest,
                        "modality": sample.modality,
                        "tokens": len(one.input_ids),
                        "supervised": one.supervised,
                        "n_tiles": sum(one.tiles),
                        "media": list(row.media),
                        "tiles": list(one.tiles),
                    }
                )
                yield row

    info = {"vocabulary": vocabulary.digest, "profile": payload.profile.name}
    count = shards.write(context.out / f"{unit.name}.arrow", rows(), shards.IDS_SCHEMA, info)
    cache.write_index(context.out, unit.name, pl.DataFrame(index, schema=_INDEX))
    accounting = RowAccounting(samples=count, kept=count)
    return Result(accounting=accounting, stats={"tokens": sum(r["tokens"] for r in index)})


STAGE = Stage(name="tokenize-ids", version=_VERSION, run=_encode)
