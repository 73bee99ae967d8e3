"""What a hub lists: pinned once, media published elsewhere too, and never outside the folder."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from smolmix.errors import DataError
from smolmix.pipelines.fetch.run import FetchOptions, fetch
from smolmix.pipelines.fetch.scope import Scope
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.workspace import Workspace

ROWS, MEDIA = "lab/rows", "lab/media"
LINES = b'{"text": "a"}\n'


def _entry(path: str, data: bytes) -> dict[str, Any]:
    oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return {"type": "file", "path": path, "size": len(data), "oid": oid}


def _publish(site: Any, repo: str, branch: str, commit: str, files: dict[str, bytes]) -> None:
    """Let the server list and serve a repository at a commit that a branch stands at."""
    tree = json.dumps([_entry(p, d) for p, d in files.items()]).encode()
    info = json.dumps({"id": repo, "sha": commit, "siblings": []}).encode()
    for revision in (branch, commit):
        base = f"/api/datasets/{repo}"
        site.files[f"{base}/tree/{revision}?recursive=True&expand=False"] = tree
        site.files[f"{base}/tree/{revision}?recursive=true&expand=false"] = tree
        site.files[f"{base}/revision/{revision}"] = info
    for path, data in files.items():
        site.files[f"/datasets/{repo}/resolve/{commit}/{path}"] = data


@pytest.fixture
def source(site: Any, monkeypatch: pytest.MonkeyPatch) -> Source:
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    return Source(
        id="listed",
        title="Listed",
        role="vision",
        modality="image",
        licence="MIT",
        origin=Hub(repo=ROWS, media_repos=(("media", MEDIA),)),
        format=JsonLines(),
        adapt=lambda row: (),
        rows_in=("*.jsonl",),
        media_in=("media/*.png",),
    )


@pytest.mark.parametrize("path", ["../../../../evil.jsonl", "/tmp/evil.jsonl", "a/../../e.jsonl"])
def test_a_path_that_would_leave_the_folder_is_refused(
    source: Source, site: Any, workspace: Workspace, path: str
) -> None:
    _publish(site, ROWS, "main", "1" * 40, {"a.jsonl": LINES, path: LINES})
    with pytest.raises(DataError, match=r"would not stay in the corpus's folder"):
        fetch(replace(source, origin=Hub(repo=ROWS)), workspace)
    assert not [m for m, p, _ in site.requests if "/resolve/" in p]


def test_media_published_elsewhere_stay_at_the_commit_they_were_first_fetched_at(
    source: Source, site: Any, workspace: Workspace
) -> None:
    _publish(site, ROWS, "main", "1" * 40, {"a.jsonl": LINES})
    _publish(site, MEDIA, "main", "2" * 40, {"1.png": b"one", "2.png": b"two"})
    part = FetchOptions(scope=Scope(files=("a.jsonl", "media/1.png")))
    assert fetch(source, workspace, part).files == 2
    _publish(site, MEDIA, "main", "3" * 40, {"1.png": b"one", "2.png": b"new"})  # it goes on
    assert fetch(source, workspace).files == 3
    record = workspace.raw("listed").read_json("fetch.json")
    assert record["media_repos"] == {MEDIA: "2" * 40}
    assert workspace.read_bytes(f"raw/listed/{'1' * 40}/media/2.png") == b"two"
