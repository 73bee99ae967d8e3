"""The media index of a fetched corpus: the paths that rows name, and where the bytes are."""

from collections.abc import Callable, Iterator, Sequence

from smolmix.fetched import INDEX, SHARDS, FetchRecord, UserMedia
from smolmix.pipelines.formats.media_index import IndexEntry, indexed_digest, write_index
from smolmix.pipelines.formats.tars import members
from smolmix.pipelines.formats.zips import STORED, data_offset, zip_members
from smolmix.sample import MediaRef
from smolmix.storage import Folder, digest_json
from smolmix.workspace import Workspace

_LOOSE = "loose"
_ARCHIVES = (".tar", ".zip")
_VERSION = 2  # of how members are recorded
USER = "user"  # the index of --media


def index_media(
    workspace: Workspace, record: FetchRecord, holds_media: Callable[[str], bool]
) -> None:
    """Index the media files of one revision.

    A member is known by its archive's folder and its own path, a member of a zip also with the
    zip's name as a folder between; a loose file by its path. An archive whose bytes were indexed
    before is not read again.

    Args:
        workspace: where the corpus was fetched to.
        record: its fetch record.
        holds_media: whether a published path holds media.
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
        name = path.removeprefix(f"{root}/").replace("/", "__")
        wanted.setdefault(name if path.lower().endswith(_ARCHIVES) else _LOOSE, []).append(path)
    for stale in set(index.names(".parquet")) - {f"{n}.parquet" for n in [*wanted, USER]}:
        index.remove(stale)
    for name, paths in wanted.items():
        held = digest_json([_VERSION, [files[path] for path in paths]])
        if name == _LOOSE or indexed_digest(index, f"{name}.parquet") != held:
            write_index(index, f"{name}.parquet", _entries(workspace, root, paths), of=held)


def index_folder(workspace: Workspace, root: str, folder: Folder) -> UserMedia:
    """Return the user's own media folder, indexed, archives included."""
    found = sorted(
        (str(p), int(i["size"])) for p, i in folder.fs.find(folder.path, detail=True).items()
    )
    listed = [(path.removeprefix(folder.path).lstrip("/"), size) for path, size in found]
    index = workspace.child(root, INDEX)
    write_index(index, f"{USER}.parquet", _user_entries(folder, [path for path, _ in listed]))
    return UserMedia(folder=folder.url, files=len(listed), digest=digest_json(listed))


def _user_entries(folder: Folder, paths: Sequence[str]) -> Iterator[IndexEntry]:
    for path in paths:
        uri = str(folder.fs.unstrip_protocol(folder.at(path)))
        if path.lower().endswith(_ARCHIVES):
            yield from _members(folder, path, uri, path.rpartition("/")[0], "")
        else:
            yield IndexEntry(path=path, ref=MediaRef(uri=uri))


def _entries(workspace: Folder, root: str, paths: Sequence[str]) -> Iterator[IndexEntry]:
    for path in paths:
        place = path.removeprefix(f"{root}/")
        rewritten = place.startswith(f"{SHARDS}/")
        place = place.removeprefix(f"{SHARDS}/")
        if not path.lower().endswith(_ARCHIVES):
            yield IndexEntry(path=place, ref=MediaRef(uri=path))
            continue
        stem = place.rpartition("-")[0] if rewritten else place.rpartition(".")[0]
        between = "" if path.lower().endswith(".tar") and not rewritten else stem
        yield from _members(workspace, path, path, place.rpartition("/")[0], between)


def _members(folder: Folder, path: str, uri: str, above: str, between: str) -> Iterator[IndexEntry]:
    """Yield each member under `above`, and again under `between` unless it is below it already."""
    with folder.open(path) as stream:
        found = (
            _zip(stream, path, uri) if path.lower().endswith(".zip") else _tar(stream, path, uri)
        )
        for name, ref in found:
            for place in known_as(name, above, between):
                yield IndexEntry(path=place, ref=ref)


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


def _tar(stream: object, path: str, uri: str) -> Iterator[tuple[str, MediaRef]]:
    for member in members(stream, path):  # type: ignore[arg-type]
        yield (
            member.name,
            MediaRef(uri=uri, member=member.name, offset=member.offset, bytes=member.size),
        )


def _zip(stream: object, path: str, uri: str) -> Iterator[tuple[str, MediaRef]]:
    for member in zip_members(stream, path):  # type: ignore[arg-type]
        if member.method == STORED:
            offset = data_offset(stream, member, path)  # type: ignore[arg-type]
            ref = MediaRef(uri=uri, member=member.name, offset=offset, bytes=member.size)
        else:
            ref = MediaRef(uri=uri, member=member.name)
        yield member.name, ref
