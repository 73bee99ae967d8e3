"""Fetch: download a corpus's files to `raw/<corpus>/<revision>/`, checked, and say what is there.

`fetch.json` says which revision is pinned and lists every file with its size and sha256; readers
trust nothing else. Killed at any point, the same call goes on where it stopped.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from filelock import FileLock, Timeout

from smolmix.errors import DataError, LockedError, UsageError
from smolmix.pipelines.fetch.archive_lookup import files_with
from smolmix.pipelines.fetch.archives import archives_to_rewrite, rewrite_archives
from smolmix.pipelines.fetch.index import index_folder, index_media
from smolmix.pipelines.fetch.listing import (
    Listing,
    Remote,
    downloader,
    how_to_enter,
    listing,
    total_bytes,
)
from smolmix.pipelines.fetch.local import as_theirs, generate_files, link_files
from smolmix.pipelines.fetch.record import Selection, is_there, read_record, write_record
from smolmix.pipelines.fetch.selected_media import published
from smolmix.pipelines.fetch.transfer import Transfer
from smolmix.pipelines.formats.media_index import MediaIndex
from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.raw_units import INDEX, count_rows, raw_units
from smolmix.pipelines.sources.source import Generated, Http, Hub, Local, Source
from smolmix.storage import Folder, digest_json
from smolmix.workspace import Workspace

_SPARE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch left behind, or would download."""

    corpus: str
    revision: str
    files: int
    bytes: int
    media: int = 0  # files of the user's folder that media are looked for in
    fresh: bool  # whether anything was downloaded; False: all of it was there already
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to fetch."""

    selection: Selection = field(default_factory=Selection)
    revision: str | None = None  # None: the pinned one, else the source's
    media: str | None = None  # the user's folder of media that is not published
    dry_run: bool = False
    jobs: int = 4
    say: Callable[[str], None] = lambda text: None


def fetch(source: Source, workspace: Workspace, options: Options | None = None) -> Fetched:
    """Download the corpus into the workspace; what is there and whole is left alone.

    Raises:
        UsageError: the corpus cannot be fetched, is gated, or another part was asked for wrongly.
        DataError: the publisher cannot be reached, or the disk is too small.
        IntegrityError: what came is not what was listed.
        LockedError: another run fetches the same corpus.
    """
    options = options or Options()
    if source.refused:
        raise UsageError(f"{source.id}: {source.refused}")
    if options.selection.annotations and (not source.media_in or source.expand):
        raise UsageError(
            f"{source.id}: its media lie in the same files as its rows; --annotations works where "
            "they lie apart; take a part with --limit or --files"
        )
    _check_choices(source, options)
    record = read_record(workspace, source.id)
    options = replace(options, selection=options.selection.beside(record.get("selection", {})))
    if _is_whole(source, record, workspace, options):
        return _fetched(source, record, fresh=False)
    if options.dry_run:
        return _would_fetch(source, record, workspace, options)
    with _lock(workspace, source):
        return _fetch(source, workspace, options)


def _check_choices(source: Source, options: Options) -> None:
    """Refuse to choose among published files where there are none."""
    if not isinstance(source.origin, Generated | Local):
        return
    chosen = options.selection
    given = {
        "--files": chosen.files,
        "--max-bytes": chosen.max_bytes,
        "--revision": options.revision if not (chosen.picked or chosen.named) else None,
    }
    for option, value in given.items():
        if value:
            where = (
                "made on this machine" if isinstance(source.origin, Generated) else "your own files"
            )
            raise UsageError(
                f"{source.id}: {where}; {option} chooses among published files; leave it out, "
                "--limit takes a part"
            )


def _fetch(source: Source, workspace: Workspace, options: Options) -> Fetched:
    record = read_record(workspace, source.id)
    origin = source.origin
    found = None if isinstance(origin, Generated | Local) else _listing(source, record, options)
    revision = found.revision if found else source.revision
    root = f"raw/{source.id}/{revision}"
    same = record.get("revision") == revision
    known, media = (record["files"], record.get("media")) if same else ([], None)
    record = {
        "corpus": source.id,
        "hub_id": source.hub_id,
        "revision": revision,
        "licence": source.licence,
        "selection": options.selection.to_json(),
        "limit": options.selection.limit,
        "files": known,
        "complete": False,
    }
    if media:
        record["media"] = media
    if source.catalogue:
        record["catalogue"] = source.catalogue
    if isinstance(origin, Generated):
        record["files"] = generate_files(origin, workspace, root)
    elif isinstance(origin, Local):
        record["files"] = link_files(source, origin, workspace, root)
        try:
            if isinstance(source.format, Parquet):
                raw_units(source, workspace, record)  # opens every file, so that none is damaged
            _media(source, workspace, options, record, root)
        except DataError as error:
            raise as_theirs(error, source, origin, root) from error
    else:
        assert found is not None
        _remote_files(source, workspace, options, record, found, root)
    if not isinstance(origin, Local):
        _media(source, workspace, options, record, root)
    if named := options.selection.named:
        _say_unfound(named, MediaIndex(workspace.child(root, INDEX)), options.say)
    record["complete"] = True
    write_record(workspace, record)
    return _fetched(source, record, fresh=True)


def _remote_files(
    source: Source,
    workspace: Workspace,
    options: Options,
    record: dict[str, Any],
    found: Listing,
    root: str,
) -> None:
    """Download what the selection wants of the listing; the record is written as it grows."""
    if found.beside:
        record["beside"] = found.beside
    selection = _selection(source, options, found)
    wanted = selection.of(found.files)
    if not selection.picked and not any(f.kind == "rows" for f in wanted) and not source.expand:
        raise UsageError(
            f"{source.id}: the selection leaves no file of rows out of {len(found.files)} files; "
            "loosen --files or --max-bytes; --dry-run shows what there is"
        )
    have = {str(f["path"]): f for f in record["files"] if is_there(workspace, f)}
    record["files"] = list(have.values())
    transfer = Transfer(
        workspace=workspace,
        root=root,
        downloader=downloader(source),
        record=record,
        have=have,
        say=options.say,
        rows=dict(selection.picked),
    )
    missing = transfer.missing(wanted)
    _check_disk(source, workspace, missing)
    write_record(workspace, record)
    rows = [f for f in wanted if f.kind == "rows"]
    if options.selection.limit is None:
        rest = list(wanted)
        taken: list[Remote] = []
    else:
        rest, taken = [f for f in wanted if f.kind == "media"], []
        for file in rows:
            transfer.download([file])
            taken.append(file)
            if _rows(source, workspace, record, root, taken) >= options.selection.limit:
                break
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda file: transfer.download([file]), rest))
    asked = {f"{root}/{file.path}" for file in [*taken, *rest]}
    record["files"] = sorted(
        (f for f in record["files"] if f["path"] in asked or asked & set(f.get("from", ()))),
        key=lambda f: str(f["path"]),
    )


def _media(
    source: Source, workspace: Workspace, options: Options, record: dict[str, Any], root: str
) -> None:
    """Rewrite what cannot be read by range, and index all media."""

    def save(files: list[dict[str, Any]]) -> None:
        write_record(workspace, record | {"files": files})

    if not isinstance(source.origin, Generated | Local):
        record["files"] = rewrite_archives(
            workspace, root, record["files"], expand=source.expand, save=save, say=options.say
        )
    there = {str(f["path"]): str(f["sha256"]) for f in record["files"] if not f.get("rewritten")}
    held = {
        p: sha256
        for p, sha256 in there.items()
        if source.holds_media(_place(p, root)) or f"{root}/_shards/" in p
    }
    if held:
        index_media(workspace, root, held)
    media = options.media
    if media is None and isinstance(source.origin, Local):
        media = source.origin.media or source.origin.url
    media = media or record.get("media", {}).get("folder")  # named once, it goes on to count
    if media:
        folder = Folder(media)
        if not folder.exists():
            raise UsageError(f"--media {media}: no such folder; name the folder of the media")
        listed = index_folder(workspace, root, folder)
        record["media"] = {
            "folder": folder.url,
            "files": len(listed),
            "digest": digest_json(listed),
        }


def _say_unfound(named: Sequence[str], index: MediaIndex, say: Callable[[str], None]) -> None:
    media = [medium.split("\n") for medium in named]
    names = {name for medium in media for name in medium}
    found = index.find(names, folders=names)
    lost = [m[0] for m in media if not any(n in found.files or n in found.folders for n in m)]
    if lost:
        say(
            f"{len(lost):,} of {len(media):,} picked media are in no published file, {lost[0]} "
            "among them; curate will drop their samples"
        )


def _is_whole(
    source: Source, record: dict[str, Any], workspace: Workspace, options: Options
) -> bool:
    if not record["complete"] or isinstance(source.origin, Local):
        return False
    if isinstance(source.origin, Generated):
        revision: str | None = source.revision
    else:
        revision = options.revision
    return (
        (revision is None or revision == record["revision"])
        and record.get("selection") == options.selection.to_json()
        and options.media is None
        and all(is_there(workspace, f) for f in record["files"])
    )


def _selection(source: Source, options: Options, found: Listing) -> Selection:
    """Return the selection with selected samples turned into the published files that hold them."""
    chosen = options.selection
    if not chosen.picked and not chosen.named:
        return chosen
    files = published(dict(chosen.picked), [f.path for f in found.files])
    if chosen.named:
        held = files_with(
            chosen.named, found.files, downloader(source), jobs=options.jobs, say=options.say
        )
        files |= {path: () for path in held if path not in files}
    return replace(chosen, picked=tuple(sorted(files.items())))


def _listing(source: Source, record: dict[str, Any], options: Options) -> Listing:
    assert isinstance(source.origin, Hub | Http)
    if source.gated and not downloader(source).token and not options.dry_run:
        raise UsageError(f"{source.id}: {how_to_enter(source)}")
    asked = options.revision or record.get("revision")
    pinned = record.get("beside", {}) if asked == record.get("revision") else {}
    return listing(source, asked, beside=pinned)


def _would_fetch(
    source: Source, record: dict[str, Any], workspace: Workspace, options: Options
) -> Fetched:
    if isinstance(source.origin, Generated | Local):
        return Fetched(
            corpus=source.id, revision=source.revision, files=0, bytes=0, fresh=False, dry_run=True
        )
    found = _listing(source, record, options)
    wanted = _selection(source, options, found).of(found.files)
    for file in wanted:
        size = f"{file.target.size:,} bytes" if file.target.size is not None else "size not stated"
        options.say(f"{file.kind:5} {file.path}  {size}")
    return Fetched(
        corpus=source.id,
        revision=found.revision,
        files=len(wanted),
        bytes=total_bytes(wanted),
        fresh=False,
        dry_run=True,
    )


def _rows(
    source: Source, workspace: Workspace, record: dict[str, Any], root: str, files: list[Remote]
) -> int:
    """Return how many rows the files hold, by reading them."""
    paths = {f"{root}/{file.path}" for file in files}
    part = record | {"files": [f for f in record["files"] if f["path"] in paths]}
    units = raw_units(source, workspace, part | {"limit": None, "selection": {}})
    return sum(count_rows(source, unit, workspace) for unit in units)


def _check_disk(source: Source, workspace: Workspace, missing: list[Remote]) -> None:
    if not workspace.is_local:
        return
    needed = total_bytes(missing)
    packed = archives_to_rewrite([f.path for f in missing])
    parts = {path for paths in packed.values() for path in paths}
    needed += total_bytes(f for f in missing if f.path in parts)  # beside its shards for a while
    workspace.local().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(workspace.local()).free
    if needed + _SPARE_BYTES > free:
        raise DataError(
            f"{source.id}: {needed:,} bytes needed, {free:,} free at {workspace.url}; free some "
            "space, use another --workspace, or take a part with --limit, --files or --max-bytes"
        )


@contextmanager
def _lock(workspace: Workspace, source: Source) -> Iterator[None]:
    if not workspace.is_local:
        yield
        return
    folder = workspace.raw(source.id).local()
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise LockedError(
            f"{folder}: another run fetches {source.id}; wait for it, or stop it"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _place(path: str, root: str) -> str:
    return path.removeprefix(f"{root}/")


def _fetched(source: Source, record: dict[str, Any], *, fresh: bool) -> Fetched:
    there = [f for f in record["files"] if not f.get("rewritten")]
    return Fetched(
        corpus=source.id,
        revision=str(record["revision"]),
        files=len(there),
        bytes=sum(int(f["size"]) for f in there),
        media=int((record.get("media") or {}).get("files", 0)),
        fresh=fresh,
    )
