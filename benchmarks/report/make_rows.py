"""Write a synthetic curated workspace of any size, in the layout and schema that curate writes.

Rows are drawn with a seed; a part is written in row groups of 1000 samples, as curate does.
"""

import io
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from smolmix.accounting import RowAccounting
from smolmix.cost import image_grid
from smolmix.profiles import Profile, profile
from smolmix.schema import SAMPLE_SCHEMA
from smolmix.storage import Folder, digest_json
from smolmix.workspace import MANIFESTS, STAGE_FILE, FileEntry, Manifest, Workspace

CORPORA = ("captions", "charts", "clips", "documents", "text")
_SIZES = ((640, 480), (1024, 768), (1920, 1080), (512, 512), (1000, 1414), (300, 900))
_QUESTION = "What does the picture show, and where was it taken? "


def _lists(values: pa.Array, per_row: int) -> pa.Array:
    offsets = np.arange(0, len(values) + 1, max(per_row, 1), dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, values)


def _turns(rows: int, rng: np.random.Generator) -> pa.Array:
    text_type = SAMPLE_SCHEMA.field("turns").type.value_type
    words = np.array(["red", "blue", "a bar chart", "two people", "page 3 of the report", "42"])
    question = np.char.add(_QUESTION, rng.integers(0, 10**6, rows).astype(str))
    texts = np.empty(2 * rows, dtype=object)
    texts[0::2], texts[1::2] = question, words[rng.integers(0, len(words), rows)]
    part_type = text_type.field("parts").type.value_type
    parts = pa.StructArray.from_arrays(
        [pa.array(texts, pa.string()), pa.nulls(2 * rows, pa.int32())], fields=list(part_type)
    )
    roles = pa.array(np.tile(np.array(["user", "assistant"], dtype=object), rows), pa.string())
    return _lists(pa.StructArray.from_arrays([roles, _lists(parts, 1)], fields=list(text_type)), 2)


def _media(
    rows: int, start: int, uri: str, sizes: np.ndarray, seconds: np.ndarray | None
) -> pa.Array:
    kind = SAMPLE_SCHEMA.field("media").type.value_type
    ref = kind.field("refs").type.value_type
    null32, null64 = pa.nulls(rows, pa.int32()), pa.nulls(rows, pa.int64())
    text = pa.nulls(rows, pa.string())
    refs = pa.StructArray.from_arrays(
        [
            pa.array([uri] * rows, pa.string()),
            null64,
            text,
            null32,
            text,
            null64,
            null64,
        ],
        fields=list(ref),
    )
    duration = np.zeros(rows) if seconds is None else seconds
    values = pa.StructArray.from_arrays(
        [
            pa.array(["image" if seconds is None else "video"] * rows, pa.string()),
            _lists(refs, 1),
            pa.array([f"{start + i:032x}" for i in range(rows)], pa.string()),
            pa.array(["jpeg" if seconds is None else "h264"] * rows, pa.string()),
            pa.array(sizes[:, 0], pa.int32()),
            pa.array(sizes[:, 1], pa.int32()),
            pa.array(np.maximum(1, duration * 25).astype(np.int32), pa.int32()),
            pa.array(np.where(duration > 0, 25.0, 0.0), pa.float64()),
            pa.array(duration, pa.float64()),
            pa.array(np.full(rows, 50_000), pa.int64()),
        ],
        fields=list(kind),
    )
    return _lists(values, 1)


def part_table(corpus: str, start: int, rows: int, seed: int) -> tuple[pa.Table, np.ndarray]:
    """Return one part's samples and the image sizes they have, shape (rows, 2)."""
    rng = np.random.default_rng([seed, start])
    sizes = np.array(_SIZES)[rng.integers(0, len(_SIZES), rows)]
    video, text = corpus == "clips", corpus == "text"
    seconds = np.round(rng.gamma(2.0, 40.0, rows), 2) if video else None
    uri = f"raw/{corpus}/r1/picture.jpeg"
    media: pa.Array = (
        pa.array([[]] * rows, SAMPLE_SCHEMA.field("media").type)
        if text
        else _media(rows, start, uri, sizes, seconds)
    )
    tokens = rng.gamma(2.0, 900.0 if text else 30.0, rows).astype(np.int64) + 2

    def pick(values: list[str], shares: list[float]) -> pa.Array:
        chosen = rng.choice(len(values), rows, p=shares).astype(np.int32)
        return pa.DictionaryArray.from_arrays(chosen, pa.array(values)).cast(pa.string())

    def same(value: str) -> pa.Array:
        return pa.array([value] * rows, pa.string())

    modality = "video" if video else "text" if text else "image"
    columns = {
        "id": pa.array([f"{corpus}//{start + i:09d}" for i in range(rows)], pa.string()),
        "corpus": same(corpus),
        "subset": pick(["", "extra"], [0.8, 0.2]),
        "split": pick(["train", "heldout"], [0.99, 0.01]),
        "modality": same(modality),
        "category": pick(["vqa", "caption", "reasoning"], [0.5, 0.4, 0.1]),
        "cot": pick(["none", "declared", "detected"], [0.97, 0.02, 0.01]),
        "cot_evidence": same(""),
        "turns": _turns(rows, rng),
        "media": media,
        "licence": pick(["cc-by-4.0", "cc-by-nc-4.0", "apache-2.0"], [0.6, 0.12, 0.28]),
        "source_file": same(uri),
        "source_row": pa.array(np.arange(start, start + rows), pa.int64()),
        "tags": pa.array([[]] * rows, SAMPLE_SCHEMA.field("tags").type),
        "text_chars": pa.array(tokens * 4, pa.int64()),
        "text_tokens": pa.array(tokens, pa.int64()),
        "answer_chars": pa.array(tokens * 2, pa.int64()),
        "language": pick(["en", "fr", "zh"], [0.9, 0.06, 0.04]),
        "text_hash": pa.array([f"{start + i:032x}" for i in range(rows)], pa.string()),
        "errors": pa.array([[]] * rows, SAMPLE_SCHEMA.field("errors").type),
        "n_turns": pa.array(np.full(rows, 2), pa.int32()),
        "n_media": pa.array(np.full(rows, 0 if text else 1), pa.int32()),
        "duration_s": pa.array(seconds if seconds is not None else np.zeros(rows), pa.float64()),
        "digest": pa.array([f"{start + i:032x}" for i in range(rows)], pa.string()),
    }
    return pa.table(columns, schema=SAMPLE_SCHEMA), sizes


def counts_table(table: pa.Table, sizes: np.ndarray, rates: Profile) -> pa.Table:
    """Return the counts of a part, row for row."""
    rows, modality = table.num_rows, table["modality"][0].as_py()
    per_tile = rates.pixel.tokens_per_tile
    tiles = np.zeros(rows, dtype=np.int64)
    visual = np.zeros(rows, dtype=np.int64)
    if modality == "image":
        for width, high in _SIZES:
            grid = image_grid(width, high, rates.pixel)
            here = (sizes[:, 0] == width) & (sizes[:, 1] == high)
            tiles[here], visual[here] = grid.tiles, grid.tokens(per_tile)
    elif modality == "video":
        seconds = table["duration_s"].to_numpy()
        tiles = np.clip(np.round(seconds), 1, rates.pixel.max_frames).astype(np.int64)
        visual = tiles * (per_tile + 3)
    text = table["text_tokens"].to_numpy() + 12
    return pa.table(
        {
            "id": table["id"],
            "text_tokens": text,
            "visual_tokens": visual,
            "supervised_tokens": np.maximum(1, text // 2),
            "tokens": text + visual,
            "tiles": tiles,
            "frames": tiles if modality == "video" else np.zeros(rows, dtype=np.int64),
        }
    )


def write_manifest(
    folder: Folder,
    stage: str,
    unit: str,
    files: list[tuple[str, int, str]],
    accounting: RowAccounting,
) -> None:
    """Write one unit's manifest."""
    manifest = Manifest(
        stage=stage,
        version=1,
        unit=unit,
        key=digest_json(unit),
        inputs={},
        files=tuple(FileEntry(name=n, size=s, digest=d) for n, s, d in files),
        accounting=accounting,
        stats={},
    )
    folder.write_json(f"{MANIFESTS}/{unit}.json", manifest.to_json())


def write_record(
    folder: Folder,
    stage: str,
    units: dict[str, str],
    accounting: RowAccounting,
    info: dict[str, object],
) -> None:
    """Write stage.json."""
    folder.write_json(
        STAGE_FILE,
        {
            "stage": stage,
            "version": 1,
            "units": units,
            "digest": digest_json(units),
            "accounting": asdict(accounting),
            "info": info,
        },
    )


def make(url: str, rows: int, *, part_rows: int = 50_000, seed: int = 1) -> None:
    """Write `rows` samples over five corpora, curated and counted for the 256m profile.

    Every image is one file of noise; clips have no file, so the report says that of them.
    """
    workspace, rates = Workspace(url), profile("256m")
    for corpus in CORPORA:
        share = rows // len(CORPORA)
        curated = workspace.curated(corpus)
        counts = workspace.counts(rates.name, corpus)
        units: dict[str, str] = {}
        for number, start in enumerate(range(0, share, part_rows)):
            name = f"part-{number:05d}"
            size = min(part_rows, share - start)
            table, sizes = part_table(corpus, start, size, seed)
            for folder, stage, one in (
                (curated, "curate", table),
                (counts, "counts", counts_table(table, sizes, rates)),
            ):
                target = folder.local(f"{name}.parquet")
                target.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(one, target, compression="zstd", row_group_size=1000)
                accounting = RowAccounting(samples=size, kept=size)
                entry = (target.name, target.stat().st_size, digest_json(name))
                write_manifest(folder, stage, name, [entry], accounting)
            units[name] = digest_json(name)
        accounting = RowAccounting(samples=share, kept=share)
        write_record(curated, "curate", units, accounting, {"revision": "r1"})
        write_record(counts, "counts", units, accounting, {"profile": asdict(rates)})
        picture = io.BytesIO()
        Image.effect_noise((640, 480), 40).convert("RGB").save(picture, "JPEG")
        workspace.write_bytes(f"raw/{corpus}/r1/picture.jpeg", picture.getvalue())


if __name__ == "__main__":
    make(str(Path(sys.argv[1])), int(sys.argv[2]))
