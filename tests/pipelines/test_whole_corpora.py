"""Whole corpora through fetch, curate and mix: on Ray workers, and in a workspace on S3."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from smolmix.engine.stage import RunOptions
from smolmix.mixtures.built.run import build, spec_profile
from smolmix.mixtures.spec.load import read_spec
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.curate import policy as policies
from smolmix.pipelines.curate.run import curate_corpus
from smolmix.pipelines.fetch.run import fetch
from smolmix.pipelines.pretokenize.counts import ensure_counts
from smolmix.workspace import Workspace, manifests

_CORPORA = ("made-chats", "moving-shapes")  # rows with text alone, and with clips in a tar
_SPEC = """
name: both
profile: {preset: nano, style: inference}
unit: samples
components:
  chats: {corpus: made-chats, take: 50}
  shapes: {corpus: moving-shapes, take: 30}
"""


def _curated(space: Workspace, corpus: str, workers: int) -> dict[str, str]:
    """Return the curated files' digests; whatever was there is made again."""
    for folder in (space.child("dedup"), space.curated(corpus), space.measured(corpus)):
        folder.remove_tree()
    options = RunOptions(workers=workers, quiet=True)
    curate_corpus(SOURCES[corpus], policies.load("default"), space, options=options)
    return {f.name: f.digest for m in manifests(space.curated(corpus)) for f in m.files}


@pytest.mark.nightly
@pytest.mark.parametrize("corpus", _CORPORA)
def test_one_worker_and_two_curate_the_same_bytes(corpus: str, tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    fetch(SOURCES[corpus], space)
    alone, one, two = (_curated(space, corpus, workers) for workers in (0, 1, 2))
    assert alone == one == two
    assert len(alone) > 1


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve S3 on loopback; packages of requirements-s3.txt, which smolmix does not need."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket/workspace"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.nightly
def test_a_workspace_on_s3_holds_what_one_on_disk_does(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "both.yaml").write_text(_SPEC)
    reading = read_spec(os.fspath(tmp_path / "both.yaml"))
    found = []
    for space in (Workspace(bucket), Workspace(tmp_path / "local")):
        for corpus in _CORPORA:
            fetch(SOURCES[corpus], space)
        files = [_curated(space, corpus, workers=0) for corpus in _CORPORA]
        ensure_counts(space, list(_CORPORA), spec_profile(reading.spec))
        found.append((files, build(reading, space).selection))
    assert found[0] == found[1]
