"""Fetch: the files of a corpus in `raw/<corpus>/<revision>/`, checked and indexed.

`fetch.json` pins the revision and lists every file with its size and sha256; readers trust nothing
else. After a kill at any point, the same call resumes where it stopped.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from smolmix.engine.lock import locked
from smolmix.errors import DataError, UsageError
from smolmix.fetched import INDEX, FetchRecord, read_record
from smolmix.pipelines.fetch.archive_lookup import files_with
from smolmix.pipelines.fetch.archives import archives_to_rewrite, rewrite_archives
from smolmix.pipelines.fetch.download import Downloader
from smolmix.pipelines.fetch.entries import refusals
from smolmix.pipelines.fetch.index import index_folders, index_media
from smolmix.pipelines.fetch.listing import (
    Listing,
    Remote,
    authorised,
    how_to_get_access,
    listing,
    total_bytes,
)
from smolmix.pipelines.fetch.local import generate_files, link_files, with_user_paths
from smolmix.pipelines.fetch.outcome import check_outcome
from smolmix.pipelines.fetch.scope import Scope
from smolmix.pipelines.fetch.selected_media import published
from smolmix.pipelines.fetch.transfer import Transfer
from smolmix.pipelines.formats.media_index import MediaIndex
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.formats.webdataset import WebDataset
from smolmix.pipelines.sources.raw_units import count_rows, raw_units
from smolmix.pipelines.sources.source import Generated, Local, Source
from smolmix.storage import Folder
from smolmix.workspace import Workspace

_SPARE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch left in the workspace, or would download."""

    corpus: str
    revision: str
    files: int
    bytes: int
    media: int = 0  # files in the user's folder of media
    fresh: bool  # whether anything was downloaded; False: all of it was in the workspace
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """How to fetch."""

    scope: Scope = field(default_factory=Scope)
    revision: str | None = None  # None: the pinned one, else the source's
    media: str | None = None  # the user's folder of media that is not published
    dry_run: bool = False
    at_once: int = 4  # files downloaded at the same time
    say: Callable[[str], None] = lambda text: None  # called with a line for each file
    downloader: Downloader = field(default_factory=Downloader)


def fetch(source: Source, workspace: Workspace, options: FetchOptions | None = None) -> Fetched:
    """Return what is in the workspace after a fetch; complete files are not downloaded again.

    Raises:
        UsageError: the corpus cannot be fetched, is gated, or the options do not fit it.
        DataError: the publisher cannot be reached, or the disk is too small.
        IntegrityError: the bytes are not what was listed.
        LockedError: another run fetches the same corpus.
    """
    options = options or FetchOptions()
    _check(source, options)
    record = read_record(workspace, source.id)
    previous = record.scope if record else {}
    options = replace(
        options,
        scope=options.scope.in_addition_to(previous),
        downloader=authorised(options.downloader, source),
    )
    if record is not None and _is_complete(source, record, workspace, options):
        return _result(record, fresh=False)
    if options.dry_run:
        return _would_fetch(source, record, options)
    if not workspace.is_local:
        return _fetch(source, workspace, options)
    with locked(workspace.raw(source.id)):
        return _fetch(source, workspace, options)


def _check(source: Source, options: FetchOptions) -> None:
    scope = options.scope
    if source.refused:
        raise UsageError(f"{source.id}: {source.refused}")
    if scope.annotations and (not source.media_in or source.expand):
        raise UsageError(
            f"{source.id}: its media are in the same files as its rows; --annotations needs media "
            "stored separately; take a part with --limit or --files"
        )
    if not isinstance(source.origin, Generated | Local):
        return
    given = {
        "--files": scope.files,
        "--max-bytes": scope.max_bytes,
        "--revision": options.revision if not (scope.selected or scope.named) else None,
    }
    for option, value in given.items():
        if value:
            made_here = isinstance(source.origin, Generated)
            where = "generated on this machine" if made_here else "your own files"
            raise UsageError(
                f"{source.id}: {where}; {option} chooses among published files; omit it, and take "
                "a part with --limit"
            )


def _fetch(source: Source, workspace: Workspace, options: FetchOptions) -> Fetched:
    previous = read_record(workspace, source.id)
    origin = source.origin
    found = None if isinstance(origin, Generated | Local) else _listing(source, previous, options)
    revision = found.revision if found else source.revision
    same = previous if previous is not None and previous.revision == revision else None
    record = FetchRecord(
        corpus=source.id,
        hub_id=source.hub_id,
        revision=revision,
        licence=source.licence,
        scope=options.scope.to_json(),
        files=same.files if same else (),
        media=same.media if same else None,
        media_repos=found.media_repos if found else {},
        catalogue=source.catalogue,
    )
    if isinstance(origin, Generated):
        record = record.with_files(generate_files(origin, workspace, record.root))
        record = _index(source, workspace, options, record)
    elif isinstance(origin, Local):
        record = record.with_files(link_files(source, origin, workspace, record.root, options.say))
        try:
            if isinstance(source.format, Parquet | WebDataset):
                raw_units(source, workspace, record)  # opens every file: none is damaged
            record = _index(source, workspace, options, record)
        except DataError as error:
            raise with_user_paths(error, source, origin, record.root) from error
    else:
        assert found is not None
        record = _download(source, workspace, options, record, found)
        record = rewrite_archives(workspace, record, expand=source.expand, say=options.say)
        record = _index(source, workspace, options, record)
    if named := options.scope.named:
        _report_missing(named, MediaIndex(workspace.child(record.root, INDEX)), options.say)
    check_outcome(source, workspace, record, options.say)
    record = replace(record, complete=True)
    record.write(workspace)
    return _result(record, fresh=True)


def _download(
    source: Source,
    workspace: Workspace,
    options: FetchOptions,
    record: FetchRecord,
    found: Listing,
) -> FetchRecord:
    """Return the record with the files of the listing that are in scope, all downloaded."""
    scope = _with_published_files(options, found)
    wanted = scope.of(found.files)
    rows = [f for f in wanted if f.kind == "rows"]
    if not scope.selected and not rows and not source.expand:
        raise UsageError(
            f"{source.id}: none of {len(found.files)} published files of rows is in scope; "
            "loosen --files or --max-bytes; --dry-run lists the files"
        )
    transfer = Transfer(
        workspace, record, options.downloader, rows=dict(scope.selected), say=options.say
    )
    _check_disk(source, workspace, transfer.missing(wanted))
    transfer.record.write(workspace)
    if scope.limit is None:
        chosen = list(wanted)
    else:
        chosen = []
        for file in rows:
            transfer.download([file])
            chosen.append(file)
            if _count_rows(source, workspace, transfer.record, chosen) >= scope.limit:
                break
        chosen += [f for f in wanted if f.kind == "media"]
    transfer.download(chosen, at_once=options.at_once)
    paths = {f"{record.root}/{file.path}" for file in chosen}
    return record.with_files(
        f for f in transfer.record.files if f.path in paths or paths & set(f.parts)
    )


def _index(
    source: Source, workspace: Workspace, options: FetchOptions, record: FetchRecord
) -> FetchRecord:
    """Return the record with the user's media; all media of the corpus are indexed."""
    origin = source.origin
    zip_names = origin.zip_names if isinstance(origin, Local) else ""
    index_media(workspace, record, source.holds_media, zip_names=zip_names)
    places: tuple[str, ...] = () if options.media is None else (options.media,)
    if not places and isinstance(origin, Local):
        places = origin.media or (origin.url,)
    if not places and record.media is not None:
        places = record.media.folders  # given once, they stay valid
    if not places:
        return record
    folders = [Folder(place) for place in places]
    for folder in folders:
        if not folder.exists():
            raise UsageError(f"--media {folder.url}: no such folder; name the folder of the media")
    own = isinstance(origin, Local) and places[0] == origin.url
    indexed = {record.published_path(f.path) for f in record.files} if own else set()
    media, refused = index_folders(
        workspace, record.root, folders, indexed=indexed, zip_names=zip_names
    )
    if refused:
        options.say(refusals(refused))
    return replace(record, media=media)


def _report_missing(named: Sequence[str], index: MediaIndex, say: Callable[[str], None]) -> None:
    media = [medium.split("\n") for medium in named]
    names = {name for medium in media for name in medium}
    found = index.find(names, folders=names)
    known = {*found.files, *found.folders, *found.ambiguous}
    lost = [m[0] for m in media if known.isdisjoint(m)]
    if lost:
        say(
            f"{len(lost):,} of {len(media):,} selected media are in no published file, for example "
            f"{lost[0]}; curate will drop their samples"
        )


def _is_complete(
    source: Source, record: FetchRecord, workspace: Workspace, options: FetchOptions
) -> bool:
    if not record.complete or isinstance(source.origin, Local):
        return False
    generated = isinstance(source.origin, Generated)
    revision = source.revision if generated else options.revision
    return (
        revision in (None, record.revision)
        and record.scope == options.scope.to_json()
        and options.media is None
        and all(f.exists(workspace) for f in record.files)
    )


def _with_published_files(options: FetchOptions, found: Listing) -> Scope:
    """Return the scope with what a mixture needs as published files."""
    scope = options.scope
    if not scope.selected and not scope.named:
        return scope
    files = published(dict(scope.selected), [f.path for f in found.files])
    if scope.named:
        holding = files_with(
            scope.named, found.files, options.downloader, at_once=options.at_once, say=options.say
        )
        files |= {path: () for path in holding if path not in files}
    return replace(scope, selected=tuple(sorted(files.items())))


def _listing(source: Source, record: FetchRecord | None, options: FetchOptions) -> Listing:
    if source.gated and not options.downloader.token and not options.dry_run:
        raise UsageError(f"{source.id}: {how_to_get_access(source)}")
    revision = options.revision or (record.revision if record else None)
    pinned = record.media_repos if record and revision == record.revision else {}
    return listing(source, revision, media_repos=pinned, downloader=options.downloader)


def _would_fetch(source: Source, record: FetchRecord | None, options: FetchOptions) -> Fetched:
    if isinstance(source.origin, Generated | Local):
        return Fetched(
            corpus=source.id, revision=source.revision, files=0, bytes=0, fresh=False, dry_run=True
        )
    found = _listing(source, record, options)
    wanted = _with_published_files(options, found).of(found.files)
    for file in wanted:
        size = f"{file.target.size:,} bytes" if file.target.size is not None else "size unknown"
        options.say(f"{file.kind:5} {file.path}  {size}")
    return Fetched(
        corpus=source.id,
        revision=found.revision,
        files=len(wanted),
        bytes=total_bytes(wanted),
        fresh=False,
        dry_run=True,
    )


def _count_rows(
    source: Source, workspace: Workspace, record: FetchRecord, files: Sequence[Remote]
) -> int:
    """Return how many rows the files hold, by reading them."""
    paths = {f"{record.root}/{file.path}" for file in files}
    part = replace(record, files=tuple(f for f in record.files if f.path in paths), scope={})
    units = raw_units(source, workspace, part)
    return sum(count_rows(source, unit, workspace) for unit in units)


def _check_disk(source: Source, workspace: Workspace, missing: Sequence[Remote]) -> None:
    if not workspace.is_local:
        return
    needed = total_bytes(missing)
    packed = archives_to_rewrite([f.path for f in missing])
    parts = {path for paths in packed.values() for path in paths}
    needed += total_bytes(f for f in missing if f.path in parts)  # until its shards are written
    workspace.local().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(workspace.local()).free
    if needed + _SPARE_BYTES > free:
        raise DataError(
            f"{source.id}: {needed:,} bytes needed, {free:,} free at {workspace.url}; free some "
            "space, use another --workspace, or take a part with --limit, --files or --max-bytes"
        )


def _result(record: FetchRecord, *, fresh: bool) -> Fetched:
    return Fetched(
        corpus=record.corpus,
        revision=record.revision,
        files=len(record.readable),
        bytes=sum(f.size for f in record.readable),
        media=record.media.files if record.media else 0,
        fresh=fresh,
    )
