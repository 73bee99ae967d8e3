"""What is kept of each medium, so that no policy opens media again.

The one module that knows `measured/<corpus>/part-00000.features.arrow`: one row for each distinct
medium of the part.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import asdict

from smolmix.sample import MediaRef
from smolmix.schema import MEDIA_REF
from smolmix.storage import Folder
from smolmix.workspace import part_files

SUFFIX = ".features.arrow"
_BATCH_ROWS = 1000


class MediaFeatures(Struct, frozen=True, kw_only=True, gc=False):
    """What is kept of one medium."""

    digest: str
    kind: str  # as in Media
    width: int
    height: int
    duration_s: float
    refs: tuple[MediaRef, ...]  # where its bytes were first found
    mode: str = ""  # Pillow's word for the pixels: RGB, L, CMYK, ...; of a video: RGB, PQ or HLG
    orientation: int = 1  # EXIF
    animated: int = 1  # frames of an image file
    spread: int = 255  # largest range of a colour channel, 0 to 255: 0 is one flat colour
    deviation: float = 255.0  # largest standard deviation of a colour channel
    level: float = 128.0  # mean grey; of a video, of its brightest sampled frame
    motion: float = 255.0  # of a video: largest mean grey difference between sampled frames
    hashes: tuple[int, ...] = ()  # image: crops, then mirrored; video: each frame, then mirrored
    thumbnails: bytes = b""  # image: one; video: one per sampled frame
    error: str = ""


SCHEMA = pa.schema(
    [
        ("digest", pa.string()),
        ("kind", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("duration_s", pa.float64()),
        ("refs", pa.list_(MEDIA_REF)),
        ("mode", pa.string()),
        ("orientation", pa.int32()),
        ("animated", pa.int32()),
        ("spread", pa.int32()),
        ("deviation", pa.float32()),
        ("level", pa.float32()),
        ("motion", pa.float32()),
        ("hashes", pa.list_(pa.uint64())),
        ("thumbnails", pa.binary()),
        ("error", pa.string()),
    ]
)


def write(path: Path, features: Iterable[MediaFeatures]) -> None:
    """Write the features of a part's media, in the order given."""
    rows = [{**asdict(f), "refs": [asdict(r) for r in f.refs]} for f in features]
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(path, SCHEMA, options=options) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), max_chunksize=_BATCH_ROWS)


def read_batches(folder: Folder, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield columns of all parts of a measured corpus, a bounded number of media at a time."""
    for name in part_files(folder, SUFFIX):
        with folder.open(name) as stream:
            reader = pa.ipc.open_file(stream)
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number).select(list(columns))


def read_small(folder: Folder, part: str) -> dict[str, MediaFeatures]:
    """Return a part's features by digest, without hashes and thumbnails, which rules ignore."""
    with folder.open(part + SUFFIX) as stream:
        table = pa.ipc.open_file(stream).read_all()
    return {f.digest: f for f in from_table(table.drop_columns(["hashes", "thumbnails"]))}


def from_table(table: pa.Table) -> list[MediaFeatures]:
    """Return the features of a table's rows; columns that it lacks take their defaults."""
    rows = []
    for row in table.to_pylist():
        row["refs"] = tuple(MediaRef(**r) for r in row["refs"])
        row["hashes"] = tuple(row.get("hashes", ()))
        rows.append(MediaFeatures(**row))
    return rows
