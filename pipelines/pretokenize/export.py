"""Exports packed sequences for other trainers, as WebDataset tars or as Parquet for `datasets`."""

import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import UsageError, nearest
from smolmix.storage import Folder
from smolmix.tokenize.loader import SequenceDataset
from smolmix.tokenize.tiles.codec import encode_tiles, encodes
from smolmix.workspace import Workspace

RECORD = "export.json"
Form = Literal["webdataset", "parquet"]

PARQUET_SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),  # -100 where not supervised; not shifted
        ("position_ids", pa.list_(pa.int32())),
        ("boundaries", pa.list_(pa.int32())),
        ("tiles", pa.list_(pa.binary())),  # one encoded image a tile
        ("corpora", pa.list_(pa.string())),
        ("modalities", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The written files, and the number of sequences in them."""

    files: tuple[str, ...]  # names in the output folder, in the plan's order
    sequences: int


def export(
    workspace: Workspace,
    folder: Folder,
    out: Path,
    form: Form,
    *,
    per_file: int = 500,
    codec: str = "png",
) -> Exported:
    """Write every sequence of a plan, in order, with its tiles as encoded images.

    Args:
        workspace: that holds the shards.
        folder: `sequences/<mixture>/<profile>-<tokens>`.
        out: a local folder, created if it does not exist; files of an earlier export are replaced.
        form: "webdataset" (for each sequence `N.ids.npy`, `N.labels.npy`, `N.boundaries.npy`,
            `N.tKKK.png` or `.jpg`, `N.json`) or "parquet" (`PARQUET_SCHEMA`).
        per_file: sequences in a file.
        codec: of the tiles: png or jpeg:Q.

    Raises:
        UsageError: `form` or `codec` is unknown, or `out` cannot be created.
        IncompleteError: the folder holds no complete plan.
        IntegrityError: a shard is missing or damaged.
    """
    if form not in ("webdataset", "parquet"):
        known = ("webdataset", "parquet")
        raise UsageError(f"--to {form}; known: {', '.join(known)}{nearest(form, known)}")
    if not encodes(codec):
        raise UsageError(f"--codec {codec}: an export takes png or jpeg:1 to jpeg:100")
    dataset = SequenceDataset(workspace, folder)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"--output {out}: {error.strerror}; name a folder that can be created"
        ) from error
    (out / RECORD).unlink(missing_ok=True)  # written last: it marks the export complete
    write = _write_tar if form == "webdataset" else _write_parquet
    suffix = "tar" if form == "webdataset" else "parquet"
    files = []
    for number, start in enumerate(range(0, len(dataset), per_file)):
        stop = min(start + per_file, len(dataset))
        path = out / f"sequences-{number:06d}.{suffix}"
        temporary = path.with_suffix(".part")
        write(temporary, _items(dataset, start, stop, codec))
        temporary.replace(path)
        files.append(path.name)
    for stale in set(out.glob("sequences-??????.*")) - {out / name for name in files}:
        stale.unlink()  # of an earlier export with more files or in another form
    record = {"profile": dataset.record.profile.name, "sequences": len(dataset), "files": files}
    (out / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    return Exported(files=tuple(files), sequences=len(dataset))


def _items(
    dataset: SequenceDataset, start: int, stop: int, codec: str
) -> Iterator[tuple[int, dict[str, Any], list[bytes]]]:
    for number in range(start, stop):
        item = dataset[number]
        tiles = item["tiles"].permute(0, 2, 3, 1).contiguous().numpy()
        yield number, item, encode_tiles(tiles, codec)


def _write_parquet(path: Path, items: Iterator[tuple[int, dict[str, Any], list[bytes]]]) -> None:
    with pq.ParquetWriter(path, PARQUET_SCHEMA, compression="zstd") as writer:
        for _number, item, tiles in items:
            row = {k: item[k].tolist() for k in PARQUET_SCHEMA.names[:4]}
            row |= {"tiles": tiles, "corpora": item["corpora"], "modalities": item["modalities"]}
            writer.write_batch(pa.RecordBatch.from_pylist([row], schema=PARQUET_SCHEMA))


def _write_tar(path: Path, items: Iterator[tuple[int, dict[str, Any], list[bytes]]]) -> None:
    with tarfile.open(path, "w") as tar:
        for number, item, tiles in items:
            for name, key in (("ids", "input_ids"), ("labels", "labels"),
                              ("boundaries", "boundaries")):  # fmt: skip
                stream = io.BytesIO()
                np.save(stream, item[key].numpy().astype(np.int32))
                _member(tar, f"{number:09d}.{name}.npy", stream.getvalue())
            for place, tile in enumerate(tiles):
                kind = "png" if tile[:4] == b"\x89PNG" else "jpg"
                _member(tar, f"{number:09d}.t{place:03d}.{kind}", tile)
            about = {"corpora": item["corpora"], "modalities": item["modalities"]}
            _member(tar, f"{number:09d}.json", json.dumps(about).encode())


def _member(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
