"""After the bytes are there: index what media lie where, so that rows can name them."""

from collections.abc import Iterator, Sequence

from smolmix.pipelines.layouts.media_index import Entry, write_index
from smolmix.pipelines.layouts.tars import members
from smolmix.pipelines.sources.reading import INDEX
from smolmix.sample import MediaRef
from smolmix.storage import Folder, Workspace

_LOOSE = "loose"


def index_media(workspace: Workspace, root: str, files: Sequence[str]) -> int:
    """Index the media files of one revision; return how many media there are.

    A member is known by the folder its archive lies in and its own path; a loose file by its
    path. An archive indexed before is not read again.

    Args:
        workspace: where it was fetched to.
        root: the revision's folder, relative to the workspace.
        files: archives and loose media files, relative to the workspace.
    """
    index = workspace.child(root, INDEX)
    wanted: dict[str, list[str]] = {}
    for path in sorted(files):
        name = path.removeprefix(f"{root}/").replace("/", "__")
        wanted.setdefault(name if path.endswith(".tar") else _LOOSE, []).append(path)
    for stale in set(index.names(".parquet")) - {f"{n}.parquet" for n in wanted}:
        index.remove(stale)
    total = 0
    for name, paths in wanted.items():
        if name != _LOOSE and index.exists(f"{name}.parquet"):
            continue
        total += write_index(index, f"{name}.parquet", _entries(workspace, root, paths))
    return total


def _entries(workspace: Folder, root: str, paths: Sequence[str]) -> Iterator[Entry]:
    for path in paths:
        place = path.removeprefix(f"{root}/")
        if not path.endswith(".tar"):
            yield Entry(path=place, ref=MediaRef(uri=path))
            continue
        above = place.rpartition("/")[0]
        with workspace.open(path) as stream:
            for member in members(stream, path):
                yield Entry(
                    path=f"{above}/{member.name}" if above else member.name,
                    ref=MediaRef(
                        uri=path, member=member.name, offset=member.offset, bytes=member.size
                    ),
                )
