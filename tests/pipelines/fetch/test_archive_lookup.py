"""Archives that hold a named medium are found without downloading them or any other."""

import io
import tarfile
import zipfile
from typing import Any

from smolmix.http import Retry
from smolmix.pipelines.fetch.archive_lookup import files_with
from smolmix.pipelines.fetch.download import Downloader, Target
from smolmix.pipelines.fetch.listing import Remote


def _zip(names: list[str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, name * 50)
    return out.getvalue()


def _tar(names: list[str], size: int = 40_000) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(bytes(size)))
    return out.getvalue()


def _found(site: Any, *named: str) -> tuple[list[str], list[str]]:
    files = [
        Remote(path=path[1:], kind="media", target=Target(url=site.url + path, size=len(data)))
        for path, data in sorted(site.files.items())
    ]
    said: list[str] = []
    fetcher = Downloader(retry=Retry(sleep=lambda seconds: None))
    return files_with(named, files, fetcher, at_once=2, say=said.append), said


def test_parts_of_a_cut_zip_come_together_or_not_at_all(site: Any) -> None:
    for name in ("a", "b"):
        data = _zip([f"{name}/{n}.png" for n in range(30)])
        half = len(data) // 2
        site.files |= {f"/{name}.zip.001": data[:half], f"/{name}.zip.002": data[half:]}
    assert _found(site, "b/29.png") == (["b.zip.001", "b.zip.002"], [])


def test_loose_files_and_members_under_the_archives_name_are_found(site: Any) -> None:
    site.files = {"/x/1.png": b"1", "/x/2.png": b"2", "/part.zip": _zip(["7.png"])}
    assert _found(site, "x/2.png", "nowhere.png\npart/7.png") == (["part.zip", "x/2.png"], [])


def test_a_clip_that_is_a_folder_of_frames_is_found_by_its_name(site: Any) -> None:
    site.files = {"/one.tar": _tar(["v1/0001.jpg"]), "/two.tar": _tar(["v2/0001.jpg"])}
    assert _found(site, "v2") == (["two.tar"], [])


def test_a_tar_is_hopped_through_and_only_to_the_first_name(site: Any) -> None:
    site.files = {"/all.tar": _tar([f"{n}.png" for n in range(50)])}
    assert _found(site, "0.png")[0] == ["all.tar"]
    assert len(site.requests) < 5
    site.requests.clear()
    assert _found(site, "missing.png") == ([], [])
    asked = [r.removeprefix("bytes=").split("-") for _, _, r in site.requests]
    read = sum(int(end) - int(start) + 1 for start, end in asked)
    assert len(site.requests) > 40
    assert read < len(site.files["/all.tar"]) / 2


def test_an_archive_in_a_folder_that_no_name_is_under_is_not_looked_into(site: Any) -> None:
    site.files = {"/in/a.zip": _zip(["1.png"]), "/out/b.zip": _zip(["1.png"])}
    assert _found(site, "in/1.png") == (["in/a.zip"], [])
    assert {path for _, path, _ in site.requests} == {"/in/a.zip"}


def test_archives_that_cannot_be_searched_are_downloaded_and_reported(
    site: Any,
) -> None:
    site.files = {"/a.zip": _zip(["1.png"])}
    site.trouble = [("whole",)]
    found, said = _found(site, "2.png")
    assert found == ["a.zip"]
    assert "does not support ranges" in said[0]
    site.files = {"/a.zip": b"PK" + bytes(100)}
    found, said = _found(site, "2.png")
    assert found == ["a.zip"]
    assert "cannot be searched" in said[0]
