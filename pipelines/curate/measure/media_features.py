"""What curate keeps of each medium beside the samples, so that no policy re-reads media.

One row per distinct medium of a unit, in `part-NNNNN.features.arrow` beside the samples.
"""

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import asdict

from smolmix.sample import Media, MediaRef

SUFFIX = ".features.arrow"


class MediaFeatures(Struct, frozen=True, kw_only=True, gc=False):
    """What is kept of one medium."""

    digest: str
    kind: str  # as in Media
    width: int
    height: int
    duration_s: float
    refs: tuple[MediaRef, ...]  # where its bytes were first met
    mode: str = ""  # Pillow's word for the pixels: RGB, L, CMYK, ...
    orientation: int = 1  # EXIF
    animated: int = 1  # frames of an image file
    spread: int = 255  # largest range of a colour channel, 0 to 255: 0 is one flat colour
    deviation: float = 255.0  # largest standard deviation of a colour channel
    level: float = 128.0  # mean grey; of a video, of its brightest sampled frame
    motion: float = 255.0  # of a video: largest mean grey difference between sampled frames
    hashes: tuple[int, ...] = ()  # image: crops, then mirrored; video: each frame, then mirrored
    thumbnails: bytes = b""  # image: one; video: one per sampled frame
    error: str = ""

    def medium(self) -> Media:
        """Return enough of the medium to read its bytes again."""
        return Media(kind=self.kind, refs=self.refs, digest=self.digest)  # type: ignore[arg-type]


_REF = pa.struct(
    [
        ("uri", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("index", pa.int32()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("bytes", pa.int64()),
    ]
)
SCHEMA = pa.schema(
    [
        ("digest", pa.string()),
        ("kind", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("duration_s", pa.float64()),
        ("refs", pa.list_(_REF)),
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


def to_table(features: list[MediaFeatures]) -> pa.Table:
    """Return the features as an Arrow table, in the order given."""
    rows = [{**asdict(s), "refs": [asdict(r) for r in s.refs]} for s in features]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def from_table(table: pa.Table) -> list[MediaFeatures]:
    """Return what `to_table` wrote; columns left out take their defaults."""
    rows = []
    for row in table.to_pylist():
        row["refs"] = tuple(MediaRef(**r) for r in row["refs"])
        row["hashes"] = tuple(row.get("hashes", ()))
        rows.append(MediaFeatures(**row))
    return rows
