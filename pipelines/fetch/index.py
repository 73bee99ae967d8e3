"""The media index of a fetched corpus: the paths that rows name, and where the bytes are."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import IO

from smolmix.fetched import INDEX, SHARDS, FetchRecord, UserMedia
from smolmix.pipelines.fetch.entries import Entry, entries
from smolmix.pipelines.formats.media_index import IndexEntry, indexed_digest, write_index
from smolmix.pipelines.formats.tars import entries as tar_entries
from smolmix.pipelines.formats.zips import STORED, data_offset, zip_entries
from smolmix.sample import MediaRef
from smolmix.storage import Folder, digest_json
from smolmix.workspace import Workspace

_LOOSE = "loose"
_ARCHIVES = (".tar", ".zip")
_VERSION = 3  # of how members are recorded
_LONGEST_NAME = 150  # bytes of an index file's name; file systems allow 255
USER = "user"  # the index of --media


def index_media(
    workspace: Workspace,
    record: FetchRecord,
    holds_media: Callable[[str], bool],
    *,
    zip_names: str = "",
) -> None:
    """Index the media files of one revision.

    A member is known by its archive's folder and its own path, a member of a zip also with the
    zip's name as a folder between; a loose file by its path. An archive whose bytes were indexed
    before is not read again.

    Args:
        workspace: where the corpus was fetched to.
        record: its fetch record.
        holds_media: whether a published path holds media.
        zip_names: the encoding of names in zips that do not mark them as UTF-8.
    """
    root = record.root
    files = {
        f.path: f.sha256
        for f in record.readable
        if holds_media(f.path.removeprefix(f"{root}/")) or f.path.startswith(f"{root}/{SHARDS}/")
    }
    if not files:
        return
    index = workspace.child(root, INDEX)
    wanted: dict[str, list[str]] = {}
    for path in sorted(files):
        name = _index_name(path.removeprefix(f"{root}/"))
        wanted.setdefault(name if path.lower().endswith(_ARCHIVES) else _LOOSE, []).append(path)
    for stale in set(index.names(".parquet")) - {f"{n}.parquet" for n in [*wanted, USER]}:
        index.remove(stale)
    for name, paths in wanted.items():
        held = digest_json([_VERSION, zip_names, [files[path] for path in paths]])
        if name == _LOOSE or indexed_digest(index, f"{name}.parquet") != held:
            write_index(
                index, f"{name}.parquet", _entries(workspace, root, paths, zip_names), of=held
            )


def index_folders(
    workspace: Workspace,
    root: str,
    folders: Sequence[Folder],
    *,
    indexed: Collection[str] = (),
    zip_names: str = "",
) -> tuple[UserMedia, list[Entry]]:
    """Return the user's own folders of media, indexed, and what in them is not read.

    Of several folders, a file is known by its path in its folder and by its full path.

    Args:
        workspace: where the corpus was fetched to.
        root: its folder there.
        folders: of the media, archives included.
        indexed: paths of archives in the first folder that `index_media` indexes.
        zip_names: as in `index_media`.
    """
    listed = [(folder, entries(folder)) for folder in folders]
    index = workspace.child(root, INDEX)
    found: Iterator[IndexEntry] = (
        one
        for number, (folder, inside) in enumerate(listed)
        for one in _user_entries(folder, inside, () if number else indexed, zip_names)
    )
    if len(folders) > 1:
        found = _also_by_full_path(found)
    write_index(index, f"{USER}.parquet", found)
    files = [[e.path, e.size] for _, inside in listed for e in inside if not e.refused]
    media = UserMedia(
        folder=folders[0].url,
        more=tuple(folder.url for folder in folders[1:]),
        files=len(files),
        digest=digest_json(files),
    )
    return media, [entry for _, inside in listed for entry in inside if entry.refused]


def _user_entries(
    folder: Folder, listed: Sequence[Entry], indexed: Collection[str], zip_names: str
) -> Iterator[IndexEntry]:
    for entry in listed:
        path = entry.path
        uri = str(folder.fs.unstrip_protocol(folder.at(path)))
        if entry.refused or not path.lower().endswith(_ARCHIVES):
            yield IndexEntry(path=path, ref=MediaRef(uri=uri), refused=entry.refused)
        elif path not in indexed:
            between = path.rpartition(".")[0] if path.lower().endswith(".zip") else ""
            above = path.rpartition("/")[0]
            yield from _members(folder, path, uri, above, between, zip_names)


def _also_by_full_path(found: Iterable[IndexEntry]) -> Iterator[IndexEntry]:
    for entry in found:
        yield entry
        if entry.ref.member is None:
            yield replace(entry, path=entry.ref.uri.partition("://")[2])


def _index_name(path: str) -> str:
    """Return the name of an archive's index file; long paths are shortened to stay distinct."""
    name = path.replace("/", "__")
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME // 8]}-{digest_json(path)}"


def _entries(
    workspace: Folder, root: str, paths: Sequence[str], zip_names: str
) -> Iterator[IndexEntry]:
    for path in paths:
        place = path.removeprefix(f"{root}/")
        rewritten = place.startswith(f"{SHARDS}/")
        place = place.removeprefix(f"{SHARDS}/")
        if not path.lower().endswith(_ARCHIVES):
            yield IndexEntry(path=place, ref=MediaRef(uri=path))
            continue
        stem = place.rpartition("-")[0] if rewritten else place.rpartition(".")[0]
        between = "" if path.lower().endswith(".tar") and not rewritten else stem
        yield from _members(workspace, path, path, place.rpartition("/")[0], between, zip_names)


def _members(
    folder: Folder, path: str, uri: str, above: str, between: str, zip_names: str
) -> Iterator[IndexEntry]:
    """Yield each member under `above`, and again under `between` unless it is below it already."""
    with folder.open(path) as stream:
        found = (
            _zip(stream, path, uri, zip_names)
            if path.lower().endswith(".zip")
            else _tar(stream, path, uri)
        )
        for name, ref, refused in found:
            for place in known_as(name, above, between):
                yield IndexEntry(path=place, ref=ref, refused=refused)


def known_as(member: str, above: str, between: str) -> Iterator[str]:
    """Yield the paths that rows may know an archive's member by.

    Args:
        member: its name in the archive.
        above: the archive's folder.
        between: the archive's own path without its ending, where that may stand for a folder.
    """
    place = f"{above}/{member}" if above else member
    yield place
    if between and not place.startswith(f"{between}/"):
        yield f"{between}/{member}"


def _tar(stream: IO[bytes], path: str, uri: str) -> Iterator[tuple[str, MediaRef, str]]:
    for member in tar_entries(stream, path):
        ref = MediaRef(uri=uri, member=member.name, offset=member.offset, bytes=member.size)
        yield member.name, ref, member.refused


def _zip(
    stream: IO[bytes], path: str, uri: str, zip_names: str
) -> Iterator[tuple[str, MediaRef, str]]:
    for member in zip_entries(stream, path, encoding=zip_names):
        if member.method == STORED and not member.refused:
            offset = data_offset(stream, member, path)
            ref = MediaRef(uri=uri, member=member.name, offset=offset, bytes=member.size)
        else:  # found by its header: the archive may write the name in another way
            ref = MediaRef(uri=uri, member=member.name, offset=member.header)
        yield member.name, ref, member.refused
