"""The units of a fetched corpus, and the samples of each row of a unit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from msgspec import Struct, field, structs

from smolmix.errors import IncompleteError
from smolmix.fetched import INDEX, SHARDS, FetchRecord, fetched
from smolmix.media import MediaReader
from smolmix.pipelines.formats.format import RawFile, RawRow, RowRange, UnreadableRow
from smolmix.pipelines.formats.media_index import FoundMedia, MediaIndex
from smolmix.pipelines.sources.row import Row, RowError
from smolmix.pipelines.sources.source import Local, Source
from smolmix.sample import FIND, Dropped, Media, MediaRef, Sample, Split
from smolmix.storage import digest_json
from smolmix.workspace import Workspace

_CHUNK_ROWS = 512

# What happens to a sample whose medium cannot be found: it is dropped with that reason, or kept
# with its media known by name only.
Absent = Literal["media-missing", "media-not-selected", "kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawUnit:
    """A part of a corpus that one worker reads, known before any row is read."""

    name: str
    corpus: str
    files: Mapping[str, str]  # what its rows depend on: path -> sha256, and the adapter's version
    rows: RowRange
    root: str  # the revision's folder, relative to the workspace
    absent: Absent = "media-missing"

    @property
    def params(self) -> dict[str, Any]:
        """Which rows of the files it reads, as JSON values."""
        return {
            "start": self.rows.start,
            "stop": self.rows.stop,
            "begin": self.rows.begin,
            "end": self.rows.end,
        }


class Adapted(Struct, frozen=True, kw_only=True, gc=False):
    """The samples of one row.

    Either the row was dropped: one `Dropped` with `rows=1` and no sample. Or it was adapted: each
    of its samples is in `samples` or, if its media are missing, a `Dropped` with `rows=0`.
    """

    row: int  # counted in the unit
    samples: tuple[Sample, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    blobs: Mapping[MediaRef, bytes] = field(default_factory=dict)  # media already in hand
    turns_dropped: Mapping[str, int] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()  # keys with a value that the samples lack


def raw_units(
    source: Source, workspace: Workspace, record: FetchRecord | None = None
) -> list[RawUnit]:
    """Return the units of a fetched corpus; the same files give the same units.

    Args:
        source: the corpus.
        workspace: where it was fetched to.
        record: its fetch record, if it is not the one in the workspace.

    Raises:
        IncompleteError: the corpus is not fetched, not completely, or without its rows.
    """
    record = fetched(workspace, source.id) if record is None else record
    absent = _absent(workspace, record)
    files = [
        RawFile(path=f.path, size=f.size, sha256=f.sha256)
        for f in record.readable
        if source.holds_rows(record.published_path(f.path))
    ]
    digests = {f.path: f.sha256 for f in files}
    media = sorted(f.sha256 for f in record.files if f.path not in digests)
    user_media = None if record.media is None else asdict(record.media)
    common: dict[str, str] = {"adapter": f"{source.id} version {source.version}"}
    if media or user_media:
        common["media"] = digest_json([media, user_media])
    if absent != "media-missing":
        common["absent media"] = absent
    ranges: Iterable[RowRange] = source.format.split(files, workspace)
    if record.limit is not None:
        ranges = _first_rows(source, ranges, workspace, record.limit)
    return [
        RawUnit(
            name=f"part-{number:05d}",
            corpus=source.id,
            files={p: digests[p] for p in rows.paths} | common,
            rows=rows,
            root=record.root,
            absent=absent,
        )
        for number, rows in enumerate(ranges)
    ]


def _absent(workspace: Workspace, record: FetchRecord) -> Absent:
    """Return what happens to samples whose media are not fetched, by the scope of the fetch."""
    if not record.scope.get("annotations"):
        if record.scope.get("selected"):
            raise IncompleteError(
                f"{workspace.raw(record.corpus).url}: only the media that a mixture needs were "
                f"fetched; run `smolmix fetch {record.corpus}` to curate it"
            )
        return "media-missing"
    if record.scope.get("selected"):
        return "media-not-selected"
    return "media-missing" if record.media else "kept"


def _first_rows(
    source: Source, ranges: Iterable[RowRange], workspace: Workspace, limit: int
) -> Iterator[RowRange]:
    """Yield the ranges that hold the first `limit` rows, the last one shortened."""
    for rows in ranges:
        count = source.format.count(rows, workspace)
        if limit < count:
            rows = replace(rows, stop=rows.start + limit)
        if limit > 0:
            yield rows
        limit -= count


def count_rows(source: Source, unit: RawUnit, workspace: Workspace) -> int:
    """Return how many rows the unit holds."""
    return source.format.count(unit.rows, workspace)


def read_unit(
    source: Source,
    unit: RawUnit,
    workspace: Workspace,
    rows: range | None = None,
    skip: frozenset[int] = frozenset(),
) -> Iterator[Adapted]:
    """Yield the samples of each row of the unit, in order.

    Args:
        source: the corpus.
        unit: one of `raw_units`.
        workspace: where it was fetched to.
        rows: only these rows, counted in the unit.
        skip: rows not to touch; nothing is yielded for them.
    """
    stop = float("inf") if unit.rows.size is None else unit.rows.size
    if rows is not None:
        stop = min(stop, rows.stop)
    lookup = _Lookup(
        index=MediaIndex(workspace.child(unit.root, INDEX)),
        reader=MediaReader(workspace),
        roots=source.origin.roots if isinstance(source.origin, Local) else (),
        absent=unit.absent,
    )
    files: dict[str, _FileFacts] = {}
    chunk: list[Adapted] = []
    for raw in source.format.read(unit.rows, workspace, rows.start if rows else 0):
        if raw.row >= stop:
            break
        if raw.row in skip:
            continue
        if raw.path not in files:
            files[raw.path] = _file_facts(source, raw.path, unit.root)
        adapted = _adapt_row(source, raw, files[raw.path])
        if not (chunk or any([s.media for s in adapted.samples])):
            yield adapted
            continue
        chunk.append(adapted)
        if len(chunk) == _CHUNK_ROWS:
            yield from _resolve(chunk, lookup)
            chunk = []
    yield from _resolve(chunk, lookup)


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileFacts:
    """What is the same for all rows of a file."""

    subset: str
    licence: str
    split: Split


def _file_facts(source: Source, path: str, root: str) -> _FileFacts:
    place = path.removeprefix(f"{root}/").removeprefix(f"{SHARDS}/")
    subset = source.subset(place)
    return _FileFacts(subset=subset, licence=source.licence_of(subset), split=source.split(place))


def _adapt_row(source: Source, raw: RawRow, facts: _FileFacts) -> Adapted:
    """Return the samples of one row, media in other files still by name."""
    if isinstance(raw.values, UnreadableRow):
        return _drop(raw, raw.values.reason, raw.values.detail)
    row = Row(
        values=raw.values,
        corpus=source.id,
        licence=facts.licence,
        path=raw.path,
        file_row=raw.file_row,
        subset=facts.subset,
        split=facts.split,
    )
    try:
        samples = tuple(source.adapt(row))
    except RowError as error:
        return _drop(raw, error.reason, error.detail, row)
    if not samples:
        return _drop(raw, "no-turns", "every turn was dropped", row)
    return Adapted(
        row=raw.row,
        samples=samples,
        blobs=row.blobs,
        turns_dropped=row.turns_dropped,
        unread=frozenset(row.unread),
    )


def _drop(raw: RawRow, reason: str, detail: str, row: Row | None = None) -> Adapted:
    dropped = Dropped(
        id=f"{raw.path}#{raw.file_row}",
        stage="adapt",
        reason=reason,
        detail=detail.encode(errors="replace").decode()[:300],
        source_file=raw.path,
        source_row=raw.file_row,
        rows=1,
    )
    if row is None:
        return Adapted(row=raw.row, dropped=(dropped,))
    return Adapted(
        row=raw.row,
        dropped=(dropped,),
        turns_dropped=row.turns_dropped,
        unread=frozenset(row.unread),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lookup:
    """How the media that rows name are found."""

    index: MediaIndex
    reader: MediaReader  # compares the files that answer one name
    roots: tuple[str, ...]  # folders: rows may name the media in them by their full path
    absent: Absent

    def paths(self, name: str) -> tuple[str, ...]:
        """Return the paths in the index that a name may stand for, best first."""
        below = (name[len(r) + 1 :] for r in self.roots if name.startswith(f"{r}/"))
        return name, *below


def _resolve(chunk: Sequence[Adapted], lookup: _Lookup) -> Iterator[Adapted]:
    """Yield the rows with their media found: all names of the chunk are looked up at once."""
    names: set[str] = set()
    clips: set[str] = set()
    for adapted in chunk:
        for sample in adapted.samples:
            for medium in sample.media:
                paths = [path for name in _names(medium) for path in lookup.paths(name)]
                names.update(paths)
                if medium.kind == "video":
                    clips.update(paths)
    if not names or lookup.absent == "kept":
        yield from chunk
        return
    index, read = lookup.index, lookup.reader.read
    found = index.find(names, folders=clips, read=read)
    if lookup.absent == "media-missing":
        media = [m for adapted in chunk for s in adapted.samples for m in s.media]
        lost = {
            path
            for m in media
            if isinstance(_located(m, found, lookup), _Absence)
            for name in _names(m)
            for path in lookup.paths(name)
        }
        if lost:
            found.add(index.in_other_case(lost, read=read))
    for adapted in chunk:
        yield _with_media(adapted, found, lookup)


class _Absence(Struct, frozen=True, kw_only=True, gc=False):
    """Why a medium is not shown."""

    reason: str
    detail: str


def _with_media(adapted: Adapted, found: FoundMedia, lookup: _Lookup) -> Adapted:
    samples: list[Sample] = []
    dropped = list(adapted.dropped)
    for sample in adapted.samples:
        media = [_located(m, found, lookup) for m in sample.media]
        absent = next((m for m in media if isinstance(m, _Absence)), None)
        if absent is not None:
            dropped.append(
                Dropped(
                    id=sample.id,
                    stage="adapt",
                    reason=absent.reason,
                    detail=absent.detail[:300],
                    source_file=sample.source_file,
                    source_row=sample.source_row,
                )
            )
        else:
            shown = tuple(m for m in media if isinstance(m, Media))
            samples.append(structs.replace(sample, media=shown))
    return structs.replace(adapted, samples=tuple(samples), dropped=tuple(dropped))


def _names(medium: Media) -> list[str]:
    """Return the names to look up: of a file at several places, or of each frame of a clip."""
    if len(medium.refs) == 1:
        return list(medium.names)
    return [ref.uri.removeprefix(FIND) for ref in medium.refs if ref.uri.startswith(FIND)]


def _located(medium: Media, found: FoundMedia, lookup: _Lookup) -> Media | _Absence:
    if not medium.names:
        return medium
    if len(medium.refs) > 1:  # a clip given as its frames
        frames = [_one_file((name,), found, lookup) for name in _names(medium)]
        absent = next((one for one in frames if isinstance(one, _Absence)), None)
        refs = tuple(one for one in frames if isinstance(one, MediaRef))
        return absent or structs.replace(medium, refs=refs)
    if medium.kind == "video":
        for path in (path for name in medium.names for path in lookup.paths(name)):
            if path in found.files or path in found.ambiguous:
                break
            if path in found.folders:
                refs = found.folders[path]
                return structs.replace(medium, kind="frames", refs=refs, frames=len(refs))
    one = _one_file(medium.names, found, lookup)
    return structs.replace(medium, refs=(one,)) if isinstance(one, MediaRef) else one


def _one_file(names: Sequence[str], found: FoundMedia, lookup: _Lookup) -> MediaRef | _Absence:
    """Return the file that the first name with an answer stands for, or why there is none."""
    refused = ""
    for name in names:
        for path in lookup.paths(name):
            if path in found.files:
                return found.files[path]
            if path in found.ambiguous:
                places = (
                    f"{r.uri}:{r.member}" if r.member else r.uri for r in found.ambiguous[path]
                )
                return _Absence(
                    reason="media-ambiguous", detail=f"{name}: in {' and in '.join(places)}"
                )
            refused = refused or found.refused.get(path, "")
    if refused:
        return _Absence(reason="media-unreadable", detail=f"{names[0]}: {refused}")
    return _Absence(reason=lookup.absent, detail=names[0])
