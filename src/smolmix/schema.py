"""The Arrow schemas of samples and dropped rows, and the conversion to and from records.

Tables are built column by column: rows of dicts took twice as long. Text that is the same in every
row is converted once.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any

import pyarrow as pa
from msgspec.structs import asdict

from smolmix.errors import DataError
from smolmix.sample import Dropped, Media, MediaRef, Part, Sample, Turn

SCHEMA_VERSION = 5  # raised when the columns or the digest change: corpora are measured again

# Raised when measuring the same bytes gives another size, orientation, number of frames, rate or
# duration: corpora are measured again, and what follows from these, ids and tiles, is made again.
MEDIA_FACTS_VERSION = 3

# What a sample costs under a profile, counted for each curated sample.
TOKEN_COLUMNS = ("text_tokens", "visual_tokens", "supervised_tokens", "tokens")
COUNT_COLUMNS = (*TOKEN_COLUMNS, "tiles", "frames")

MEDIA_REF = pa.struct(
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

_MEDIA = pa.struct(
    [
        ("kind", pa.string()),
        ("refs", pa.list_(MEDIA_REF)),
        ("digest", pa.string()),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("orientation", pa.int8()),
        ("frames", pa.int32()),
        ("fps", pa.float64()),
        ("duration_s", pa.float64()),
        ("second_starts", pa.list_(pa.int32())),
        ("bytes_on_disk", pa.int64()),
    ]
)

_PART = pa.struct([("text", pa.string()), ("media", pa.int32())])

_TURN = pa.struct([("role", pa.string()), ("parts", pa.list_(_PART)), ("supervised", pa.bool_())])

_METADATA = {b"smolmix.schema_version": str(SCHEMA_VERSION).encode()}


SAMPLE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("corpus", pa.string()),
        ("subset", pa.string()),
        ("split", pa.string()),
        ("modality", pa.string()),
        ("category", pa.string()),
        ("cot", pa.string()),
        ("cot_evidence", pa.string()),
        ("turns", pa.list_(_TURN)),
        ("media", pa.list_(_MEDIA)),
        ("licence", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
        ("tags", pa.map_(pa.string(), pa.string())),
        ("text_chars", pa.int64()),
        ("text_tokens", pa.int64()),
        ("answer_chars", pa.int64()),
        ("language", pa.string()),
        ("text_hash", pa.string()),
        ("errors", pa.list_(pa.string())),
        # Derived on writing, so that tables can be scanned without opening `turns` and `media`.
        ("n_turns", pa.int32()),
        ("n_media", pa.int32()),
        ("duration_s", pa.float64()),
        ("digest", pa.string()),
    ],
    metadata=_METADATA,
)


DROPPED_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("stage", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("source_file", pa.string()),
        ("source_row", pa.int64()),
        ("kept_id", pa.string()),
        ("rows", pa.int32()),
    ],
    metadata=_METADATA,
)

_DERIVED = ("n_turns", "n_media", "duration_s", "digest")


_REF_FIELDS = MediaRef.__struct_fields__


_MEDIA_FIELDS = tuple(f for f in Media.__struct_fields__ if f != "refs")


_PLAIN_FIELDS = tuple(f for f in Sample.__struct_fields__ if f not in ("turns", "media"))


def _columns_of(names: Sequence[str], records: Sequence[object]) -> dict[str, Sequence[Any]]:
    """Return each field's values over all records."""
    return {name: list(map(attrgetter(name), records)) for name in names}


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return the values as an array; text that is the same in every row is converted once."""
    first = values[0] if values else None
    if isinstance(first, str) and values.count(first) == len(values):
        return pa.repeat(pa.scalar(first, kind), len(values))
    return pa.array(values, kind)


def _struct(kind: pa.StructType, columns: Mapping[str, Any]) -> pa.StructArray:
    """Return structs of the columns; a column is an array or a sequence of values."""
    parts = [
        c if isinstance(c := columns[f.name], pa.Array) else _array(c, f.type)
        for f in (kind.field(i) for i in range(kind.num_fields))
    ]
    return pa.StructArray.from_arrays(parts, fields=list(kind))


def _lists(sizes: Iterable[int], values: pa.Array) -> pa.ListArray:
    """Return lists of the given sizes, filled with the values in order."""
    return pa.ListArray.from_arrays(pa.array([0, *accumulate(sizes)], pa.int32()), values)


def _turns_column(samples: Sequence[Sample]) -> pa.ListArray:
    turns = [t for s in samples for t in s.turns]
    parts = [p for t in turns for p in t.parts]
    struct = _struct(_PART, {"text": [p.text for p in parts], "media": [p.media for p in parts]})
    content = _lists([len(t.parts) for t in turns], struct)
    supervised = [t.supervised for t in turns]
    turn = _struct(
        _TURN, {"role": [t.role for t in turns], "parts": content, "supervised": supervised}
    )
    return _lists([len(s.turns) for s in samples], turn)


def _media_column(samples: Sequence[Sample]) -> pa.ListArray:
    media = [m for s in samples for m in s.media]
    refs = _struct(MEDIA_REF, _columns_of(_REF_FIELDS, [r for m in media for r in m.refs]))
    columns: dict[str, Any] = {**_columns_of(_MEDIA_FIELDS, media)}
    columns["refs"] = _lists([len(m.refs) for m in media], refs)
    return _lists([len(s.media) for s in samples], _struct(_MEDIA, columns))


def to_table(samples: Iterable[Sample]) -> pa.Table:
    """Return the samples as an Arrow table in `SAMPLE_SCHEMA`."""
    rows = list(samples)
    columns: dict[str, Any] = {**_columns_of(_PLAIN_FIELDS, rows)}
    columns["turns"], columns["media"] = _turns_column(rows), _media_column(rows)
    columns["n_turns"] = [len(s.turns) for s in rows]
    columns["n_media"] = [len(s.media) for s in rows]
    columns["duration_s"] = [s.duration_s for s in rows]
    columns["digest"] = [s.digest() for s in rows]
    arrays = [
        c if isinstance(c := columns[f.name], pa.Array) else _array(c, f.type)
        for f in SAMPLE_SCHEMA
    ]
    return pa.Table.from_arrays(arrays, schema=SAMPLE_SCHEMA)


def dropped_table(dropped: Iterable[Dropped]) -> pa.Table:
    """Return the dropped rows as an Arrow table in `DROPPED_SCHEMA`."""
    return pa.Table.from_pylist([asdict(d) for d in dropped], schema=DROPPED_SCHEMA)


def _media(row: Mapping[str, Any]) -> Media:
    fields = dict(row)
    fields["refs"] = tuple(MediaRef(**r) for r in fields["refs"])
    fields["second_starts"] = tuple(fields["second_starts"])
    return Media(**fields)


def _sample(row: dict[str, Any]) -> Sample:
    for name in _DERIVED:
        row.pop(name, None)
    row["turns"] = tuple(
        Turn(
            role=t["role"],
            parts=tuple(Part(**p) for p in t["parts"]),
            supervised=t["supervised"],
        )
        for t in row["turns"]
    )
    row["media"] = tuple(_media(m) for m in row["media"])
    row["tags"] = tuple(row["tags"])
    row["errors"] = tuple(row["errors"])
    return Sample(**row)


def check_schema_version(schema: pa.Schema, where: str) -> None:
    """Refuse a file written under another version of the record.

    Raises:
        DataError: the version in the file's metadata is missing or is not `SCHEMA_VERSION`.
    """
    found = (schema.metadata or {}).get(b"smolmix.schema_version", b"none").decode()
    if found != str(SCHEMA_VERSION):
        raise DataError(
            f"{where}: record schema version {found}; this smolmix reads {SCHEMA_VERSION}; "
            "run the stage that wrote it again"
        )


def from_table(table: pa.Table, *, where: str = "table") -> Iterator[Sample]:
    """Yield the samples of a table written by `to_table`.

    Raises:
        DataError: the table carries another schema version.
    """
    check_schema_version(table.schema, where)
    for batch in table.to_batches(max_chunksize=1024):
        for row in batch.to_pylist():
            yield _sample(row)


def dropped_from_table(table: pa.Table, *, where: str = "table") -> Iterator[Dropped]:
    """Yield the dropped rows of a table written by `dropped_table`."""
    check_schema_version(table.schema, where)
    for row in table.to_pylist():
        yield Dropped(**row)
