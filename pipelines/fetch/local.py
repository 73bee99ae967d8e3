"""Files of corpora without a publisher: generated on this machine, or the user's own."""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from smolmix.errors import DataError
from smolmix.fetched import FetchedFile
from smolmix.pipelines.fetch.download import digests
from smolmix.pipelines.fetch.entries import Entry, entries
from smolmix.pipelines.formats.format import UnreadableRow
from smolmix.pipelines.formats.text import decode, parse_object
from smolmix.pipelines.sources.catalogue import CAPTIONS
from smolmix.pipelines.sources.source import Generated, Local, Source
from smolmix.pipelines.sources.user_rows import VIDEOS, WRONG
from smolmix.storage import Folder
from smolmix.workspace import Workspace

_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
_MEDIA = (*_IMAGES, *VIDEOS)
_UNREAD = (".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz", ".7z", ".rar")


def generate_files(origin: Generated, workspace: Workspace, root: str) -> list[FetchedFile]:
    """Return the files of a packaged or generated corpus, written into the workspace."""
    with tempfile.TemporaryDirectory(prefix="smolmix-") as scratch:
        origin.write(Path(scratch))
        files = []
        for path in sorted(p for p in Path(scratch).rglob("*") if p.is_file()):
            name = f"{root}/{path.relative_to(scratch).as_posix()}"
            size, sha256 = path.stat().st_size, digests(path)[0]
            url = f"{origin.kind}:{origin.name}"
            files.append(FetchedFile(path=name, size=size, sha256=sha256, url=url))
            path.chmod(0o644)
            workspace.put(path, name)
    return files


def link_files(
    source: Source,
    origin: Local,
    workspace: Workspace,
    root: str,
    say: Callable[[str], None] = lambda text: None,
) -> list[FetchedFile]:
    """Return the user's files of rows and archives, linked into the workspace.

    Files of a remote store are copied. Loose media are neither: the media index refers to them. A
    file with two names (through a link) is read once.

    Raises:
        DataError: there is no such folder, no file of rows in it, or one that cannot be read.
    """
    theirs = Folder(origin.url)
    if not theirs.exists():
        raise DataError(
            f"{source.id}: {origin.url} does not exist; correct `path` in the catalogue"
        )
    listed = entries(theirs)
    files = _captions(source, theirs, listed, workspace, root)
    known: dict[str, str] = {}  # file -> its first name
    for entry in sorted(listed, key=lambda e: e.via_link):  # of two names, the one without a link
        place = entry.path
        holds_rows = source.holds_rows(place)
        packed = place.lower().endswith((".tar", ".zip"))
        if not holds_rows and not (source.holds_media(place) and packed):
            if place.lower().endswith(_UNREAD):
                say(
                    f"{place}: not read; archives are read as .tar or .zip: unpack it or convert it"
                )
            continue
        if entry.refused:
            if entry.special:
                say(f"{place}: {entry.refused}, not read")
                continue
            raise DataError(
                f"{source.id}: {theirs.url}/{place} is {entry.refused}; repair it or move it away"
            )
        if first := known.get(entry.file):
            say(f"{place}: the same file as {first}; it is read once")
            continue
        known[entry.file] = place
        name, path = f"{root}/{place}", theirs.at(place)
        size = entry.size
        if theirs.is_local and workspace.is_local:
            _link(Path(path), workspace.local(name))
            sha256 = digests(Path(path))[0]
        else:
            with tempfile.TemporaryDirectory(prefix="smolmix-") as scratch:
                copy = Path(scratch, "file")
                theirs.fs.get_file(path, str(copy))
                size, sha256 = copy.stat().st_size, digests(copy)[0]
                workspace.put(copy, name)
        files.append(FetchedFile(path=name, size=size, sha256=sha256, url=path))
    if not files:
        raise DataError(
            f"{source.id}: {origin.url} has no file that matches {', '.join(source.rows_in)}; "
            "correct `path`, `format` or `files` in the catalogue"
        )
    return files


def with_user_paths(error: DataError, source: Source, origin: Local, root: str) -> DataError:
    """Return an error about a damaged file that names the user's own path, and what to do."""
    text = str(error).replace(f"{root}/", f"{origin.url.rstrip('/')}/")
    text = text.removesuffix("fetch again").removesuffix("delete it and ").rstrip(";: ")
    return DataError(f"{source.id}: {text}; repair that file or move it away, then fetch again")


def _captions(
    source: Source, theirs: Folder, listed: Sequence[Entry], workspace: Workspace, root: str
) -> list[FetchedFile]:
    """Return one file of rows, written from the captions of a folder's media.

    A caption is a text file of the medium's name, or a row of `metadata.jsonl` (`file_name` and
    `text`). A medium without a caption and a text without a medium are rows too: adapting them
    reports what is missing. Endings may be of either case; hidden files (`._a.jpg`, `__MACOSX/`)
    are ignored.
    """
    if source.rows_in != (CAPTIONS,):
        return []
    found = {e.path for e in listed if not _hidden(e.path) and (_is_medium(e) or not e.refused)}
    rows = [row for place in sorted(found) for row in _listed(theirs, place)]
    named = {str(row["image"]) for row in rows if "image" in row}
    media = [place for place in sorted(found) if place.lower().endswith(_MEDIA)]
    texts = {place[:-4]: place for place in sorted(found) if place.lower().endswith(".txt")}
    for place in media:
        if text := texts.get(place.rpartition(".")[0]):
            rows.append({"image": place, "text": _text(theirs, text)})
        elif place not in named:
            rows.append({"image": place, "text": None})
    stems = {place.rpartition(".")[0] for place in media}
    for stem, place in texts.items():
        if stem not in stems:
            rows.append({"image": stem, "text": _text(theirs, place)})
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    name = f"{root}/{CAPTIONS}"
    workspace.write_bytes(name, data)
    sha256 = hashlib.sha256(data).hexdigest()
    file = FetchedFile(path=name, size=len(data), sha256=sha256, url=theirs.url)
    return [file] if rows else []


def _is_medium(entry: Entry) -> bool:
    return entry.path.lower().endswith(_MEDIA)


def _text(theirs: Folder, place: str) -> str | None:
    text = decode(theirs.read_bytes(place))
    return text.replace("\r\n", "\n") if isinstance(text, str) else None


def _hidden(place: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in place.split("/"))


def _listed(theirs: Folder, place: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a `metadata.jsonl`, their media named from the corpus's folder."""
    folder, _, name = place.rpartition("/")
    if name != "metadata.jsonl":
        return
    for number, line in enumerate(theirs.read_bytes(place).splitlines(), start=1):
        row = parse_object(line)
        if isinstance(row, UnreadableRow):
            if line.strip():
                yield {WRONG: f"{place}:{number}: {row.reason}, {row.detail}"}
        elif isinstance(row.get("file_name"), str):
            yield {**row, "image": f"{folder}/{row['file_name']}".lstrip("/")}
        else:
            yield {WRONG: f"{place}:{number}: no file_name"}


def _link(target: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    os.symlink(target.resolve(), link)
