"""Files of corpora without a publisher: generated on this machine, or the user's own."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smolmix.errors import DataError
from smolmix.fetched import FetchedFile
from smolmix.pipelines.fetch.download import digests
from smolmix.pipelines.formats.format import UnreadableRow
from smolmix.pipelines.formats.text import decode, parse_object
from smolmix.pipelines.sources.catalogue import CAPTIONS
from smolmix.pipelines.sources.source import Generated, Local, Source
from smolmix.pipelines.sources.user_rows import VIDEOS, WRONG
from smolmix.storage import Folder
from smolmix.workspace import Workspace

_IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
_MEDIA = (*_IMAGES, *VIDEOS)


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


def link_files(source: Source, origin: Local, workspace: Workspace, root: str) -> list[FetchedFile]:
    """Return the user's files of rows and archives, linked into the workspace.

    Files of a remote store are copied. Loose media are neither: the media index refers to them.

    Raises:
        DataError: there is no such folder, or no file of rows in it.
    """
    theirs = Folder(origin.url)
    if not theirs.exists():
        raise DataError(
            f"{source.id}: {origin.url} does not exist; correct `path` in the catalogue"
        )
    files = _captions(source, theirs, workspace, root)
    for path in sorted(str(p) for p in theirs.fs.find(theirs.path)):
        place = path.removeprefix(theirs.path).lstrip("/")
        if not source.holds_rows(place) and not (
            source.holds_media(place) and place.lower().endswith((".tar", ".zip"))
        ):
            continue
        name = f"{root}/{place}"
        if theirs.is_local and workspace.is_local:
            _link(Path(path), workspace.local(name))
            sha256 = digests(Path(path))[0]
        else:
            with tempfile.TemporaryDirectory(prefix="smolmix-") as scratch:
                copy = Path(scratch, "file")
                theirs.fs.get_file(path, str(copy))
                sha256 = digests(copy)[0]
                workspace.put(copy, name)
        size = int(theirs.fs.size(path))
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


def _captions(source: Source, theirs: Folder, workspace: Workspace, root: str) -> list[FetchedFile]:
    """Return one file of rows, written from the captions of a folder's media.

    A caption is a text file of the medium's name, or a row of `metadata.jsonl` (`file_name` and
    `text`). A medium without a caption and a text without a medium are rows too: adapting them
    reports what is missing. Endings may be of either case; hidden files (`._a.jpg`, `__MACOSX/`)
    are ignored.
    """
    if source.rows_in != (CAPTIONS,):
        return []
    every = (str(p).removeprefix(theirs.path).lstrip("/") for p in theirs.fs.find(theirs.path))
    found = {place for place in every if not _hidden(place)}
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
