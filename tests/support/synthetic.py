"""Curated and counted corpora made of columns: what tests and benchmarks solve mixtures over.

The samples have no turns and no media, only the columns that mixtures read.
"""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from smolmix.accounting import RowAccounting
from smolmix.counted import COUNTS_SCHEMA
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.mixtures.candidates.pool import Pool, families
from smolmix.mixtures.selection.hashing import hash_ids
from smolmix.mixtures.spec.spec import Spec
from smolmix.pipelines.pretokenize.counts import STAGE
from smolmix.profiles import Profile
from smolmix.schema import SAMPLE_SCHEMA
from smolmix.tokenize.chat.tokenizer import load
from smolmix.workspace import Workspace

_DEFAULTS: Mapping[str, Any] = {
    "split": "train",
    "modality": "image",
    "category": "vqa",
    "cot": "none",
    "licence": "MIT",
    "language": "en",
    "subset": "",
    "duration_s": 0.0,
    "text_tokens": 40,
    "visual_tokens": 20,
    "supervised_tokens": 10,
}


def _filled(value: object, rows: int) -> pa.Array:
    if isinstance(value, np.ndarray | list | tuple | pa.Array):
        array = pa.array(value)
        assert len(array) == rows
        return array
    return pa.repeat(pa.scalar(value), rows)


def _column(name: str, given: Mapping[str, Any], rows: int) -> pa.Array:
    kind = SAMPLE_SCHEMA.field(name).type
    if name in given and pa.types.is_nested(kind):
        return pa.array(given[name], kind)
    if name in given:
        return _filled(given[name], rows).cast(kind)
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        return pa.array([[]], kind).take(pa.array(np.zeros(rows, np.int64)))
    return pa.nulls(rows, kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """One part's table; its key is the digest of its values."""

    table: pa.Table


def _write(unit: Unit[_Rows], context: UnitContext) -> Result:
    table = unit.payload.table
    pq.write_table(
        table, context.out / f"{unit.name}.parquet", compression="zstd", row_group_size=1 << 16
    )
    return Result(accounting=RowAccounting(samples=table.num_rows, kept=table.num_rows))


def _digest(table: pa.Table) -> str:
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return xxhash.xxh3_128_hexdigest(stream.getbuffer())


def write_corpus(
    workspace: Workspace,
    corpus: str,
    rows: int,
    profile: Profile,
    *,
    parts: int = 1,
    **columns: object,
) -> None:
    """Write `curated/<corpus>` and its counts, which `ensure_counts` accepts as they are.

    Args:
        workspace: gets both.
        corpus: its id; ids of samples are `<corpus>/<number>` unless given.
        rows: samples.
        profile: of the counts.
        parts: files the samples are divided into.
        columns: values of the record's and the counts' columns, one for all rows or one a row.
    """
    given: dict[str, Any] = {**_DEFAULTS, "corpus": corpus, **columns}
    if "id" not in given:
        numbers = pa.array(np.arange(rows)).cast(pa.string())
        given["id"] = pa.compute.binary_join_element_wise(f"{corpus}/", numbers, "")
    text = _filled(given["text_tokens"], rows).cast(pa.int64())
    visual = _filled(given["visual_tokens"], rows).cast(pa.int64())
    given["tokens"] = pa.compute.add(text, visual)
    samples = pa.table([_column(n, given, rows) for n in SAMPLE_SCHEMA.names], schema=SAMPLE_SCHEMA)
    counted = [f for f in COUNTS_SCHEMA if f.name != "id"]
    counts = pa.table(
        [samples["id"], *(_filled(given.get(f.name, 0), rows).cast(f.type) for f in counted)],
        schema=COUNTS_SCHEMA,
    )
    cuts = [rows * i // parts for i in range(parts + 1)]
    spans = list(pairwise(cuts))
    licence = str(given["licence"]) if isinstance(given["licence"], str) else ""
    curated = run_stage(
        Stage(name="curate", version=1, run=_write),
        [
            Unit(
                name=f"part-{i:05d}",
                inputs={"rows": _digest(samples.slice(a, b - a))},
                params={},
                payload=_Rows(table=samples.slice(a, b - a)),
            )
            for i, (a, b) in enumerate(spans)
        ],
        folder=workspace.curated(corpus),
        options=RunOptions(quiet=True),
        info={"revision": "r1", "licence": licence},
    )
    # Under the key of the real stage, so that nothing counts them again.
    made_with = {"profile": asdict(profile), "vocabulary": load(profile.chat.tokenizer).digest}
    units = [
        Unit(
            name=name,
            inputs={"curated": digest},
            params=made_with,
            payload=_Rows(table=counts.slice(a, b - a)),
        )
        for (name, digest), (a, b) in zip(curated.record.units.items(), spans, strict=True)
    ]
    run_stage(
        Stage(name=STAGE.name, version=STAGE.version, run=_write),
        units,
        folder=workspace.counts(profile.name, corpus),
        options=RunOptions(quiet=True),
        info={"corpus": corpus, **made_with},
    )


def pool_of(spec: Spec, components: Mapping[str, Mapping[str, Any]]) -> Pool:
    """Return a pool without files: each component's columns, one value for all rows or one a row.

    Args:
        spec: its seed and components are used; `where` and caps on samples are not applied.
        components: name -> columns, `rows` among them.
    """
    names = sorted(spec.components)
    ids: list[str] = []
    columns: dict[str, list[Any]] = {}
    for name in sorted(components):
        given = {**_DEFAULTS, "corpus": spec.components[name].corpus, **components[name]}
        rows = int(given.pop("rows"))
        ids.extend(f"{given['corpus']}/{i}" for i in range(rows))
        given["component"] = names.index(name)
        given["row"] = list(range(rows))
        for key, value in given.items():
            values = list(value) if isinstance(value, np.ndarray | list | tuple) else [value] * rows
            columns.setdefault(key, []).extend(values)
    array = pa.chunked_array([pa.array(ids, pa.string())])
    text = np.array(columns["text_tokens"], np.int32)
    visual = np.array(columns["visual_tokens"], np.int32)
    tags = {}
    for family in families(spec):
        values = sorted(set(columns[family]))
        codes = np.array([values.index(v) for v in columns[family]], np.int16)
        tags[family] = (codes, values)
    return Pool(
        ids=array,
        hashes=hash_ids(array.combine_chunks(), spec.seed),
        component=np.array(columns["component"], np.int16),
        components=tuple(names),
        part=np.zeros(len(ids), np.int32),
        parts=(("", "part-00000"),),
        row=np.array(columns["row"], np.int32),
        tokens={
            "text_tokens": text,
            "visual_tokens": visual,
            "supervised_tokens": np.array(columns["supervised_tokens"], np.int32),
            "tokens": text + visual,
        },
        duration_s=np.array(columns["duration_s"], np.float64),
        tags=tags,
        excluded={},
        not_fetched=np.zeros(len(ids), np.bool_),
    )
