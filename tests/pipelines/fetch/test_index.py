"""Media are found by the names that rows use, whatever wrote the archive."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from smolmix.fetched import FetchedFile, FetchRecord
from smolmix.media import MediaReader
from smolmix.pipelines.fetch.index import index_media
from smolmix.pipelines.formats.media_index import MediaIndex
from smolmix.workspace import Workspace


def _record(*names: str, sha256: str = "0") -> FetchRecord:
    files = tuple(FetchedFile(path=f"raw/x/r/{n}", size=1, sha256=sha256) for n in names)
    return FetchRecord(corpus="x", revision="r", files=files)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_odd_names_are_read_as_they_are_indexed(tmp_path: Path, method: int) -> None:
    workspace = Workspace(tmp_path)
    names = ("./a/1.png", "b\\2.png", "c//3.png", "d/../4.png", "plain/5.png", "é/6.png")
    path = workspace.local("raw/x/r/all.zip")
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.writestr(name, name * 40)
    index_media(workspace, _record("all.zip"), lambda path: True)
    asked = ["a/1.png", "b/2.png", "c/3.png", "4.png", "plain/5.png", "é/6.png"]
    found = MediaIndex(workspace.child("raw/x/r/_index")).find(asked).files
    reader = MediaReader(workspace)
    assert [reader.read(found[a]).decode() for a in asked] == [name * 40 for name in names]


def test_names_of_an_old_tar_are_read_as_latin_1(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    path = workspace.local("raw/x/r/all.tar")
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        info = tarfile.TarInfo("Übung.png")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"png"))
    index_media(workspace, _record("all.tar"), lambda path: True)
    found = MediaIndex(workspace.child("raw/x/r/_index")).find(["Übung.png"]).files
    assert MediaReader(workspace).read(found["Übung.png"]) == b"png"
