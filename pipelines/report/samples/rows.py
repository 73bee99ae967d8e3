"""Random access to a corpus's samples by row number, reading one row group at a time."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from smolmix import curated
from smolmix.sample import Sample
from smolmix.schema import from_table
from smolmix.storage import Folder

_GROUPS_KEPT = 4


class SampleRows:
    """Random access to the samples of one corpus at one stage."""

    def __init__(self, folder: Folder):
        """Read the footers of a finished stage's parts."""
        counts = curated.row_counts(folder)
        self.names = list(counts)
        self._sources = curated.sources(folder, [curated.sample_file(n) for n in self.names])
        self.starts = np.concatenate([[0], np.cumsum(list(counts.values()))])
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()
        self._files: dict[int, pq.ParquetFile] = {}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def place(self, row: int) -> tuple[str, int]:
        """Return (part, row within the part) of a row number that counts over all parts."""
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.names[part], row - int(self.starts[part])

    def row(self, part: str, row: int) -> int:
        """Return the row number over all parts of a row within a part."""
        return int(self.starts[self.names.index(part)]) + row

    def read(self, row: int) -> Sample:
        """Return the sample at a row number that counts over all parts."""
        part = int(np.searchsorted(self.starts, row, side="right")) - 1
        inside = row - int(self.starts[part])
        file = self._files.get(part)
        if file is None:
            file = self._files[part] = pq.ParquetFile(self._sources[part])
        group = 0
        while inside >= file.metadata.row_group(group).num_rows:
            inside -= file.metadata.row_group(group).num_rows
            group += 1
        table = self._groups.get((part, group))
        if table is None:
            table = self._groups[part, group] = file.read_row_group(group)
            if len(self._groups) > _GROUPS_KEPT:
                self._groups.popitem(last=False)
        return next(from_table(table.slice(inside, 1), where=self.names[part]))

    def scan(self, columns: Sequence[str]) -> pl.LazyFrame:
        """Return columns of all rows with `at`, the row number over all parts."""
        if not self.names:
            return pl.LazyFrame(schema={"at": pl.UInt32, **dict.fromkeys(columns, pl.String)})
        return pl.scan_parquet(self._sources, glob=False).select(columns).with_row_index("at")

    def find(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the row number of each id that exists."""
        if not ids:
            return {}
        wanted = pl.Series(ids, dtype=pl.String).implode()
        found = self.scan(["id"]).filter(pl.col("id").is_in(wanted)).collect(engine="streaming")
        return dict(zip(found["id"].to_list(), found["at"].to_list(), strict=True))
