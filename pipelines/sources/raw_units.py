"""Fetched files to samples: units of a corpus, and what each row of a unit becomes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from msgspec import Struct, field, structs

from smolmix.errors import IncompleteError
from smolmix.pipelines.formats.format import Cells, Fault, Piece, RawFile
from smolmix.pipelines.formats.media_index import Found, MediaIndex
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Source
from smolmix.sample import Dropped, Media, MediaRef, Sample, Split
from smolmix.storage import digest_json
from smolmix.workspace import Workspace

FETCH_FILE = "fetch.json"
INDEX = "_index"
_CHUNK_ROWS = 512

# What becomes of a sample whose medium is nowhere: it is dropped with that reason, or kept, its
# media known by name only.
Absent = Literal["media-missing", "media-not-selected", "kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawUnit:
    """One unit of a corpus: known before any row is read."""

    name: str
    corpus: str
    files: Mapping[str, str]  # what its rows depend on: path -> sha256, and the adapter's version
    piece: Piece
    root: str  # the revision's folder, relative to the workspace
    absent: Absent = "media-missing"

    @property
    def start(self) -> int:
        """The first row, counted in its file."""
        return self.piece.start

    @property
    def stop(self) -> int | None:
        """The row after the last, where it is known already."""
        return self.piece.stop

    @property
    def params(self) -> dict[str, Any]:
        """What of the files it reads, as JSON values."""
        return {
            "start": self.piece.start,
            "stop": self.piece.stop,
            "begin": self.piece.begin,
            "end": self.piece.end,
        }


class Adapted(Struct, frozen=True, kw_only=True, gc=False):
    """What one row became.

    Either one drop with `rows=1` and no sample; or the row counts as adapted, and each of its
    samples is in `samples` or, where its media are missing, a drop with `rows=0`.
    """

    row: int  # counted in the unit
    samples: tuple[Sample, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    blobs: Mapping[MediaRef, bytes] = field(default_factory=dict)  # media already in hand
    turns_dropped: Mapping[str, int] = field(default_factory=dict)


def fetched(source: Source, workspace: Workspace) -> dict[str, Any]:
    """Return the corpus's fetch.json.

    Raises:
        IncompleteError: it was not fetched, or not to the end.
    """
    raw = workspace.raw(source.id)
    if not raw.exists(FETCH_FILE):
        raise IncompleteError(
            f"{raw.url}: corpus {source.id} is not fetched; run `smolmix fetch {source.id}`"
        )
    record: dict[str, Any] = raw.read_json(FETCH_FILE)
    if not record["complete"]:
        raise IncompleteError(
            f"{raw.at(FETCH_FILE)}: the fetch stopped half-way; run `smolmix fetch {source.id}` "
            "again: it goes on where it stopped"
        )
    return record


def raw_units(
    source: Source, workspace: Workspace, record: Mapping[str, Any] | None = None
) -> list[RawUnit]:
    """Return the units of a fetched corpus; the same files give the same units.

    Args:
        source: the corpus.
        workspace: where it was fetched to.
        record: its fetch.json, where it is not the one on disk.

    Raises:
        IncompleteError: it was not fetched, or not to the end, or without its rows.
    """
    record = fetched(source, workspace) if record is None else record
    absent = _absent(source, workspace, record)
    root = f"raw/{source.id}/{record['revision']}"
    files = [
        RawFile(path=f["path"], size=f["size"], sha256=f["sha256"])
        for f in sorted(record["files"], key=lambda f: str(f["path"]))
        if source.holds_rows(f["path"].removeprefix(f"{root}/").removeprefix("_shards/"))
        and not f.get("rewritten")
    ]
    digests = {f.path: f.sha256 for f in files}
    media = sorted(f["sha256"] for f in record["files"] if f["path"] not in digests)
    common: dict[str, str] = {"adapter": f"{source.id} version {source.version}"}
    if media or record.get("media"):
        common["media"] = digest_json([media, record.get("media")])
    if absent != "media-missing":
        common["absent media"] = absent
    pieces: Iterable[Piece] = source.format.pieces(files, workspace)
    if record.get("limit") is not None:
        pieces = _first_rows(source, pieces, workspace, int(record["limit"]))
    return [
        RawUnit(
            name=f"part-{number:05d}",
            corpus=source.id,
            files={p: digests[p] for p in piece.paths} | common,
            piece=piece,
            root=root,
            absent=absent,
        )
        for number, piece in enumerate(pieces)
    ]


def _absent(source: Source, workspace: Workspace, record: Mapping[str, Any]) -> Absent:
    """Return what becomes of samples whose media are not there, from what was asked for."""
    selection = record.get("selection", {})
    if not selection.get("annotations"):
        if selection.get("picked"):
            raise IncompleteError(
                f"{workspace.raw(source.id).at(FETCH_FILE)}: only the media that a mixture selects "
                f"are there; run `smolmix fetch {source.id}` to curate it"
            )
        return "media-missing"
    if selection.get("picked"):
        return "media-not-selected"
    return "media-missing" if record.get("media") else "kept"


def _first_rows(
    source: Source, pieces: Iterable[Piece], workspace: Workspace, limit: int
) -> Iterator[Piece]:
    """Yield the pieces that hold the first `limit` rows, the last one cut."""
    for piece in pieces:
        rows = source.format.count(piece, workspace)
        if limit < rows:
            piece = replace(piece, stop=piece.start + limit)
        if limit > 0:
            yield piece
        limit -= rows


def count_rows(source: Source, unit: RawUnit, workspace: Workspace) -> int:
    """Return how many rows the unit holds."""
    return source.format.count(unit.piece, workspace)


def read_unit(
    source: Source,
    unit: RawUnit,
    workspace: Workspace,
    rows: range | None = None,
    skip: frozenset[int] = frozenset(),
) -> Iterator[Adapted]:
    """Yield what each row of the unit becomes, in order.

    Args:
        source: the corpus.
        unit: one of `raw_units`.
        workspace: where it was fetched to.
        rows: only these rows, counted in the unit.
        skip: rows to pass over without touching them; nothing is yielded for them.
    """
    held = unit.piece.stop
    stop = float("inf") if held is None else held - unit.piece.start
    if rows is not None:
        stop = min(stop, rows.stop)
    index = MediaIndex(workspace.child(unit.root, INDEX))
    files: dict[str, tuple[str, str, Split]] = {}
    chunk: list[Adapted] = []
    for cells in source.format.read(unit.piece, workspace, rows.start if rows else 0):
        if cells.row >= stop:
            break
        if cells.row in skip:
            continue
        if cells.path not in files:
            files[cells.path] = _of_file(source, cells.path, unit.root)
        adapted = _adapt_row(source, cells, *files[cells.path])
        if not (chunk or any([s.media for s in adapted.samples])):
            yield adapted
            continue
        chunk.append(adapted)
        if len(chunk) == _CHUNK_ROWS:
            yield from _resolve(chunk, index, unit.absent)
            chunk = []
    yield from _resolve(chunk, index, unit.absent)


def _of_file(source: Source, path: str, root: str) -> tuple[str, str, Split]:
    """Return what holds of all rows of a file: subset, licence, split."""
    place = path.removeprefix(f"{root}/").removeprefix("_shards/")
    subset = source.subset(place)
    return subset, source.licence_of(subset), source.split(place)


def _adapt_row(source: Source, cells: Cells, subset: str, licence: str, split: Split) -> Adapted:
    """Return what one row becomes, its media still by name where they lie elsewhere."""
    if isinstance(cells.values, Fault):
        return _drop(cells, cells.values.reason, cells.values.detail)
    row = Row(
        values=cells.values,
        corpus=source.id,
        licence=licence,
        path=cells.path,
        file_row=cells.file_row,
        subset=subset,
        split=split,
    )
    try:
        samples = tuple(source.adapt(row))
    except RowError as error:
        return _drop(cells, error.reason, error.detail, row.turns_dropped)
    if not samples:
        return _drop(cells, "no-turns", "every turn was left out", row.turns_dropped)
    return Adapted(row=cells.row, samples=samples, blobs=row.blobs, turns_dropped=row.turns_dropped)


def _drop(
    cells: Cells, reason: str, detail: str, turns_dropped: Mapping[str, int] | None = None
) -> Adapted:
    dropped = Dropped(
        id=f"{cells.path}#{cells.file_row}",
        stage="adapt",
        reason=reason,
        detail=detail.encode(errors="replace").decode()[:300],
        source_file=cells.path,
        source_row=cells.file_row,
        rows=1,
    )
    return Adapted(row=cells.row, dropped=(dropped,), turns_dropped=turns_dropped or {})


def _resolve(chunk: Sequence[Adapted], index: MediaIndex, absent: Absent) -> Iterator[Adapted]:
    """Yield the rows with every media name looked up, all names of the chunk at once."""
    names: set[str] = set()
    clips: set[str] = set()
    for adapted in chunk:
        for sample in adapted.samples:
            for medium in sample.media:
                names.update(medium.names)
                if medium.kind == "video":
                    clips.update(medium.names)
    if not names or absent == "kept":
        yield from chunk
        return
    found = index.find(names, folders=clips)
    if absent == "media-missing":
        media = [m for adapted in chunk for s in adapted.samples for m in s.media]
        lost = {n for m in media if _located(m, found) is None for n in m.names}
        found.files |= index.in_other_case(lost) if lost else {}
    for adapted in chunk:
        yield _with_media(adapted, found, absent)


def _with_media(adapted: Adapted, found: Found, reason: str) -> Adapted:
    samples: list[Sample] = []
    dropped = list(adapted.dropped)
    for sample in adapted.samples:
        media = [_located(m, found) for m in sample.media]
        missing = [m for m, at in zip(sample.media, media, strict=True) if at is None]
        if missing:
            dropped.append(
                Dropped(
                    id=sample.id,
                    stage="adapt",
                    reason=reason,
                    detail=missing[0].names[0][:300],
                    source_file=sample.source_file,
                    source_row=sample.source_row,
                )
            )
        else:
            samples.append(structs.replace(sample, media=tuple(m for m in media if m is not None)))
    return structs.replace(adapted, samples=tuple(samples), dropped=tuple(dropped))


def _located(medium: Media, found: Found) -> Media | None:
    if not medium.names:
        return medium
    for name in medium.names:
        if name in found.files:
            return structs.replace(medium, refs=(found.files[name],))
        if medium.kind == "video" and name in found.folders:
            refs = found.folders[name]
            return structs.replace(medium, kind="frames", refs=refs, frames=len(refs))
    return None
