"""Some row groups of a remote parquet file, in a local file that is sparse elsewhere.

Every byte is at the position that it has in the published file. So row numbers and footers hold,
and any parquet reader opens the file; row groups that are not needed are holes.
"""

import io
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import DataError
from smolmix.pipelines.fetch.download import Downloader, Target
from smolmix.pipelines.formats.streams import PositionedStream

_MAGIC = b"PAR1"


class RemoteStream(PositionedStream):
    """A remote file read by ranges."""

    def __init__(self, downloader: Downloader, target: Target):
        """Open the file; its size must be known."""
        assert target.size is not None
        super().__init__(target.size)
        self._downloader, self._target = downloader, target

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]  # BufferedReader passes this
        """Fill the buffer from the current position."""
        count = min(len(buffer), self._size - self._at)
        if count <= 0:
            return 0
        data = self._downloader.read_range(self._target, self._at, self._at + count)
        buffer[:count] = data
        self._at += count
        return count


def download_row_groups(
    downloader: Downloader, target: Target, rows: Sequence[int], into: Path
) -> list[int]:
    """Return the row groups that hold `rows`, written at their positions, and the footer.

    Args:
        downloader: reads the ranges.
        target: the file; its size must be known.
        rows: sorted, counted in the file.
        into: the sparse file.

    Raises:
        DataError: the server does not support ranges, or the file is not a parquet file.
    """
    assert target.size is not None
    try:
        metadata = pq.ParquetFile(
            io.BufferedReader(RemoteStream(downloader, target), 1 << 16)
        ).metadata
    except pa.ArrowException as error:
        raise DataError(f"{target.url}: not a parquet file ({error})") from error
    ends = [0]
    for number in range(metadata.num_row_groups):
        ends.append(ends[-1] + metadata.row_group(number).num_rows)
    groups = sorted({bisect_right(ends, row) - 1 for row in rows if row < ends[-1]})
    spans = [_span(metadata.row_group(number)) for number in groups]
    tail = int.from_bytes(downloader.read_range(target, target.size - 8, target.size)[:4], "little")
    spans.append((target.size - 8 - tail, target.size))
    into.parent.mkdir(parents=True, exist_ok=True)
    with into.open("wb") as out:
        out.truncate(target.size)
        out.write(_MAGIC)
        for start, end in spans:
            out.seek(start)
            out.write(downloader.read_range(target, start, end))
    return groups


def _span(group: pq.RowGroupMetaData) -> tuple[int, int]:
    """Return where a row group starts and ends in its file, in bytes."""
    columns = [group.column(number) for number in range(group.num_columns)]
    starts = [
        min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset) for c in columns
    ]
    ends = [s + c.total_compressed_size for s, c in zip(starts, columns, strict=True)]
    return min(starts), max(ends)
