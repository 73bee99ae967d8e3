"""Curated and counted corpora made of columns: what tests and benchmarks solve mixtures over.

They have no turns and no media; everything a mixture looks at is there.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.accounting import RowAccounting
from smolmix.mixtures.candidates.pool import Pool, families
from smolmix.mixtures.selection.hashing import hash_ids
from smolmix.mixtures.spec.spec import Spec
from smolmix.schema import COUNT_COLUMNS, SAMPLE_SCHEMA
from smolmix.storage import Folder, digest_file, digest_json
from smolmix.workspace import MANIFESTS, STAGE_FILE, FileEntry, Manifest, StageRecord, Workspace

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


def _commit(folder: Folder, stage: str, tables: Mapping[str, pa.Table], info: Any) -> None:
    units: dict[str, str] = {}
    accounting = RowAccounting()
    for unit, table in tables.items():
        name = f"{unit}.parquet"
        with folder.open(name, "wb") as stream:
            pq.write_table(table, stream, compression="zstd", row_group_size=1 << 16)
        with folder.open(name) as stream:
            entry = FileEntry(
                name=name, size=int(folder.fs.size(folder.at(name))), digest=digest_file(stream)
            )
        units[unit] = digest_json([(entry.name, entry.digest)])
        one = RowAccounting(samples=table.num_rows, kept=table.num_rows)
        manifest = Manifest(
            stage=stage,
            version=1,
            unit=unit,
            key=entry.digest,
            inputs={},
            files=(entry,),
            accounting=one,
            stats={},
        )
        folder.write_json(f"{MANIFESTS}/{unit}.json", manifest.to_json())
        accounting = accounting + one
    record = StageRecord(
        stage=stage,
        version=1,
        units=units,
        digest=digest_json(units),
        accounting=accounting,
        info=info,
    )
    folder.write_json(STAGE_FILE, asdict(record))


def write_corpus(
    workspace: Workspace,
    corpus: str,
    rows: int,
    profile: str,
    *,
    parts: int = 1,
    **columns: object,
) -> None:
    """Write `curated/<corpus>` and `counts/<profile>/<corpus>`.

    Args:
        workspace: where to.
        corpus: its id; ids of samples are `<corpus>/<number>` unless given.
        rows: samples.
        profile: name of the profile of the counts.
        parts: files the samples are cut into.
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
    counts = pa.table(
        {
            "id": samples["id"],
            **{n: _filled(given.get(n, 0), rows).cast(pa.int64()) for n in COUNT_COLUMNS},
        }
    )
    cuts = [rows * i // parts for i in range(parts + 1)]
    names = [f"part-{i:05d}" for i in range(parts)]

    def cut(table: pa.Table) -> dict[str, pa.Table]:
        return {
            n: table.slice(a, b - a) for n, a, b in zip(names, cuts[:-1], cuts[1:], strict=True)
        }

    licence = str(given["licence"]) if isinstance(given["licence"], str) else ""
    info = {"revision": "r1", "licence": licence}
    _commit(workspace.curated(corpus), "curate", cut(samples), info)
    _commit(workspace.counts(profile, corpus), "counts", cut(counts), {"profile": profile})


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
