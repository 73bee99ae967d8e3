"""Read the measures of curated samples, column by column, as numpy arrays."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from smolmix import curated
from smolmix.counted import UNFETCHED_COLUMNS, read_counts, stale_counts
from smolmix.errors import IncompleteError
from smolmix.mixtures.spec.conditions import NAMES, NUMBERS, TAG_PREFIX, Condition
from smolmix.schema import COUNT_COLUMNS, TOKEN_COLUMNS
from smolmix.workspace import Workspace, stage_record

# Read of every sample, whatever the spec names.
ALWAYS = ("modality", "category", "cot", "licence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The measures of one part of a corpus, row for row."""

    corpus: str
    name: str  # the unit's name, which the selection refers to
    ids: pa.Array
    names: dict[str, tuple[NDArray[np.int64], list[str]]]  # field -> codes, values
    numbers: dict[str, NDArray[np.float64] | NDArray[np.int64]]
    train: NDArray[np.bool_]
    unfetched_images: NDArray[np.int64]  # media not fetched, whose costs are in no number
    unfetched_clips: NDArray[np.int64]

    @property
    def not_fetched(self) -> NDArray[np.bool_]:
        """Return (rows,) which have media that are not fetched."""
        return np.asarray(self.unfetched_images + self.unfetched_clips > 0, np.bool_)

    def mask(self, where: Condition) -> NDArray[np.bool_]:
        """Return (rows,) which rows meet the condition."""
        if where.is_number:
            values = self.numbers[where.field]
            ops = {
                "<": np.less,
                "<=": np.less_equal,
                ">": np.greater,
                ">=": np.greater_equal,
                "==": np.equal,
                "!=": np.not_equal,
            }
            return np.asarray(ops[where.op](values, where.number), np.bool_)
        codes, values_of = self.names[where.field]
        return np.array([where.holds_for(v) for v in values_of], np.bool_)[codes]


def _coded(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], list[str]]:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    values = [str(v) for v in array.dictionary.to_pylist()]
    if (codes < 0).any():
        codes = np.where(codes < 0, len(values), codes)
        values.append("")
    return codes, values


def _tag(table: pa.Table, key: str) -> tuple[NDArray[np.int64], list[str]]:
    found = pc.map_lookup(table["tags"].combine_chunks(), pa.scalar(key), "first")
    return _coded(pa.chunked_array([found]).cast(pa.string()))


def corpus_parts(
    workspace: Workspace, corpus: str, profile: str, fields: set[str]
) -> Iterator[Part]:
    """Yield the parts of a curated and counted corpus.

    Args:
        workspace: holds them.
        corpus: its id.
        profile: name of the profile whose counts are read.
        fields: further fields that conditions or shares name.

    Raises:
        IncompleteError: the corpus is not curated, or not counted under this profile.
        StaleError: the counts are those of other samples.
    """
    samples, counts = workspace.curated(corpus), workspace.counts(profile, corpus)
    for folder, verb in ((samples, f"smolmix curate {corpus}"), (counts, "smolmix mix build")):
        try:
            stage_record(folder)
        except IncompleteError as error:
            raise IncompleteError(f"{folder.url}: missing or not finished; run `{verb}`") from error
    names = sorted({*ALWAYS, *(f for f in fields if f in NAMES)} - {"corpus"})
    names = sorted({*names, "subset"})
    tags = sorted(f.removeprefix(TAG_PREFIX) for f in fields if f.startswith(TAG_PREFIX))
    measures = sorted(
        {"duration_s", *(f for f in fields if f in NUMBERS and f not in COUNT_COLUMNS)}
    )
    counted = [c for c in COUNT_COLUMNS if c in TOKEN_COLUMNS or c in fields]
    columns = ["id", "split", *names, *measures, *(["tags"] if tags else [])]
    for part in curated.part_names(samples):
        table = curated.read_columns(samples, part, columns, dictionary=[*names, "split"])
        tokens = read_counts(workspace, profile, corpus, part, ["id", *counted, *UNFETCHED_COLUMNS])
        ids = pa.concat_arrays(table["id"].chunks) if table.num_rows else pa.array([], pa.string())
        if not table["id"].equals(tokens["id"]):
            raise stale_counts(workspace, profile, corpus, f"{part}: its rows are other samples")
        coded = {n: _coded(table[n]) for n in names}
        coded["corpus"] = (np.zeros(len(ids), np.int64), [corpus])
        coded.update({f"{TAG_PREFIX}{t}": _tag(table, t) for t in tags})
        split, splits = _coded(table["split"])
        not_fetched = {
            c: np.asarray(tokens[c].combine_chunks().to_numpy(zero_copy_only=False), np.int64)
            for c in UNFETCHED_COLUMNS
        }
        yield Part(
            corpus=corpus,
            name=part,
            ids=ids,
            names=coded,
            numbers={
                **{m: table[m].combine_chunks().to_numpy(zero_copy_only=False) for m in measures},
                **{c: tokens[c].combine_chunks().to_numpy(zero_copy_only=False) for c in counted},
            },
            train=np.array([v != "heldout" for v in splits], np.bool_)[split],
            **not_fetched,
        )
