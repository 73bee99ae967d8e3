"""Archives that cannot be read by range are recognised, joined and rewritten once."""

import tarfile
from pathlib import Path

import pytest
from tests.support.served import tar_bytes

from smolmix.fetched import FetchedFile, FetchRecord
from smolmix.pipelines.fetch.archives import (
    archive_of_shard,
    archives_to_rewrite,
    rewrite_archives,
)
from smolmix.workspace import Workspace


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (["a.tar", "b.zip", "c.parquet"], {}),
        (["d/a.tar.gz", "b.tgz", "c.tar.zst"], {
            "d/a": ["d/a.tar.gz"], "b": ["b.tgz"], "c": ["c.tar.zst"],
        }),
        (["a.zip.part-ab", "a.zip.part-aa"], {"a": ["a.zip.part-aa", "a.zip.part-ab"]}),
        (["a.tar.10", "a.tar.2", "a.tar.1"], {"a": ["a.tar.1", "a.tar.2", "a.tar.10"]}),
        (["a.zip", "a.z10", "a.z02", "a.z01"], {"a": ["a.z01", "a.z02", "a.z10", "a.zip"]}),
        (["a.z01", "b.zip"], {"a": ["a.z01"]}),
    ],
)  # fmt: skip
def test_parts_are_in_order(paths: list[str], wanted: dict[str, list[str]]) -> None:
    assert archives_to_rewrite(paths) == wanted


def test_a_split_archive_becomes_shards_and_its_parts_are_deleted(tmp_path: Path) -> None:
    workspace, data = (
        Workspace(tmp_path),
        tar_bytes({name: name.encode() for name in ("x/1.png", "x/2.png")}),
    )
    parts = {"raw/c/r/d/a.tgz.1": data[:50], "raw/c/r/d/a.tgz.2": data[50:]}
    files = []
    for path, part in parts.items():
        workspace.write_bytes(path, part)
        files.append(FetchedFile(path=path, size=len(part), sha256="x"))
    record = FetchRecord(corpus="c", revision="r").with_files(files)
    found = rewrite_archives(workspace, record)
    (shard,) = found.readable
    assert shard.path == "raw/c/r/_shards/d/a-00000.tar"
    assert shard.parts == tuple(parts)
    assert archive_of_shard("_shards/d/a-00000.tar") == "d/a"
    with workspace.open(shard.path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        assert archive.getnames() == ["x/1.png", "x/2.png"]
    assert not any(workspace.exists(path) for path in parts)
    assert rewrite_archives(workspace, found) == found
