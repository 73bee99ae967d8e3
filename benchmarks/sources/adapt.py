"""Adapting rows against pyarrow alone reading and writing the same parts.

    python benchmarks/sources/adapt.py

Text: documents of FineWeb-Edu's mean length. Images: Cauldron rows, one photo-like JPEG and two
questions each. pyarrow reads every column the corpus publishes and writes them again, once as one
row group and once in row groups of as many rows as the parts have (`same row groups`); ours reads,
adapts, and writes samples in row groups of 1,000, as `curate` does. All zstd, all on one core
(smolmix runs one process a core, so pyarrow is held to one thread), taken in turns, nine times, in
CPU seconds; printed are the best of each and the median of the nine ratios.
"""

import io
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from smolmix.fetched import FetchedFile, FetchRecord
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.sample import Sample
from smolmix.schema import SAMPLE_SCHEMA, to_table
from smolmix.workspace import Workspace

TEXT_ROWS = 20_000
IMAGE_ROWS = 1_500
_BATCH = 1_000


def _text_rows() -> pa.Table:
    chance = random.Random(0)
    words = [
        "".join(chance.choices("etaoinshrdlu", k=chance.randrange(2, 10))) for _ in range(9999)
    ]
    return pa.table(
        {
            "text": [" ".join(chance.choices(words, k=720)) for _ in range(TEXT_ROWS)],
            "id": [f"<urn:uuid:{n}>" for n in range(TEXT_ROWS)],
            "url": [f"http://example.org/{n}" for n in range(TEXT_ROWS)],
            "dump": ["CC-MAIN-2024-10"] * TEXT_ROWS,
            "language": ["en"] * TEXT_ROWS,
            "score": [3.4] * TEXT_ROWS,
        }
    )


def _image_rows() -> pa.Table:
    chance = random.Random(0)
    rows = []
    for number in range(IMAGE_ROWS):
        small = Image.frombytes("RGB", (64, 48), chance.randbytes(64 * 48 * 3))
        out = io.BytesIO()
        small.resize((640, 480), Image.Resampling.BICUBIC).save(out, "JPEG", quality=90)
        texts = [
            {"user": f"What is {q} in picture {number}?", "assistant": "A thing.", "source": "x"}
            for q in ("left", "right")
        ]
        rows.append({"images": [{"bytes": out.getvalue(), "path": None}], "texts": texts})
    return pa.Table.from_pylist(rows)


def _timed(*runs: Callable[[], object]) -> list[list[float]]:
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(9):
        for number, run in enumerate(runs):
            start = time.process_time()
            run()
            times[number].append(time.process_time() - start)
    return times


def _rate(rows: int, times: list[float]) -> str:
    return f"{min(times):.2f} s ({rows / min(times):,.0f} rows/s)"


def _compare(corpus: str, path: str, table: pa.Table, group: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(scratch)
        place = f"raw/{corpus}/x/{path}"
        with workspace.open(place, "wb") as out:
            pq.write_table(table, out, compression="zstd", row_group_size=group)
        size = int(workspace.fs.size(workspace.at(place)))
        file = FetchedFile(path=place, size=size, sha256="0")
        FetchRecord(corpus=corpus, revision="x", files=(file,), complete=True).write(workspace)
        source = SOURCES[corpus]
        written = Path(scratch, "out.parquet")

        def alone(row_group: int | None = None) -> None:
            read = pq.read_table(workspace.local(place))
            pq.write_table(read, written, compression="zstd", row_group_size=row_group)

        def ours() -> None:
            with pq.ParquetWriter(written, SAMPLE_SCHEMA, compression="zstd") as writer:
                held: list[Sample] = []
                for unit in raw_units(source, workspace):
                    for adapted in read_unit(source, unit, workspace):
                        held += adapted.samples
                        if len(held) >= _BATCH:
                            writer.write_table(to_table(held))
                            held = []
                writer.write_table(to_table(held))

        *theirs, mine = _timed(alone, partial(alone, group), ours)
        rows = table.num_rows
        print(f"{corpus}: {rows:,} rows, {size / 1e6:.0f} MB; smolmix {_rate(rows, mine)}")
        for form, times in zip(("one row group", "same row groups"), theirs, strict=True):
            share = statistics.median(a / b for a, b in zip(times, mine, strict=True))
            print(
                f"  pyarrow alone, {form}: {_rate(rows, times)}; smolmix has {share:.2f} of its "
                f"speed (best against best {min(times) / min(mine):.2f})"
            )


if __name__ == "__main__":
    pa.set_cpu_count(1)
    _compare("fineweb-edu", "sample/10BT/000.parquet", _text_rows(), 1_000)
    _compare("the-cauldron", "vqav2/train-0.parquet", _image_rows(), 100)
