"""A small corpus written as published files, measured and curated for real."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from smolmix.engine.stage import RunOptions
from smolmix.pipelines.curate import policy as policies
from smolmix.pipelines.curate.run import curate_corpus
from smolmix.pipelines.curate.waterfall import Waterfall, waterfall
from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Local, Role, Source
from smolmix.sample import Dropped, Media, MediaRef, Sample, turns_of
from smolmix.schema import dropped_from_table, from_table
from smolmix.workspace import Workspace, part_files


def _adapt(row: Row) -> Iterator[Sample]:
    values = row.values
    if values.get("kill"):
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
    media = [
        Media(kind=m["kind"], refs=tuple(MediaRef(uri=u) for u in m["files"]))
        for m in values.get("media", [])
    ]
    yield row.sample(
        key=values["key"],
        turns=turns_of(*[(role, content) for role, content in values["turns"]]),
        media=media,
        category="test",
        split=values.get("split", "train"),
    )


@dataclass(slots=True)
class Planted:
    """Rows and media of one corpus; `write` publishes them."""

    workspace: Workspace
    name: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    role: Role = "demo"

    @property
    def root(self) -> str:
        return f"raw/{self.name}/r1"

    def file(self, name: str, data: bytes) -> str:
        """Write a media file; return its place in the workspace."""
        place = f"{self.root}/media/{name}"
        self.workspace.write_bytes(place, data)
        return place

    def add(
        self,
        key: str,
        *turns: tuple[str, Any],
        images: Sequence[str] = (),
        videos: Sequence[str] = (),
        **more: Any,
    ) -> str:
        """Add a row; `images` and `videos` are places that `file` returned."""
        media = [{"kind": "image", "files": [i]} for i in images]
        media += [{"kind": "video", "files": [v]} for v in videos]
        self.rows.append({"key": key, "turns": list(turns), "media": media, **more})
        return key

    def ask(self, key: str, image: str, question: str = "What is it?", answer: str = "It.") -> str:
        """Add one question on one image."""
        return self.add(key, ("user", [0, question]), ("assistant", answer), images=[image])

    def write(self, files: int = 1, *, reverse: bool = False) -> Source:
        """Publish the rows in so many files and return the source."""
        entries, rows = [], self.rows[::-1] if reverse else self.rows
        for number in range(files):
            lines = [json.dumps(r) for r in rows[number::files]]
            data = ("\n".join(lines) + "\n").encode()
            path = f"{self.root}/rows-{number}.jsonl"
            self.workspace.write_bytes(path, data)
            digest = hashlib.sha256(data).hexdigest()
            entries.append({"path": path, "size": len(data), "sha256": digest, "url": "test"})
        self.workspace.raw(self.name).write_json(
            "fetch.json",
            {
                "corpus": self.name,
                "hub_id": "test",
                "revision": "r1",
                "licence": "MIT",
                "files": entries,
                "complete": True,
            },
        )
        return Source(
            id=self.name,
            title="planted",
            role=self.role,
            modality="image",
            licence="MIT",
            origin=Local(url="."),
            format=JsonLines(),
            adapt=_adapt,
            rows_in=("*.jsonl",),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a planted corpus."""

    kept: Mapping[str, Sample]  # by key
    dropped: Mapping[str, Dropped]  # by key
    fall: Waterfall


def key_of(sample_id: str) -> str:
    return sample_id.rsplit("/", 1)[-1].rsplit("-", 1)[0]


def outcome(workspace: Workspace, corpus: str) -> Outcome:
    import pyarrow.parquet as pq

    folder = workspace.curated(corpus)
    kept, dropped = dict[str, Sample](), dict[str, Dropped]()
    for name in part_files(folder):
        for sample in from_table(pq.read_table(folder.local(name))):
            kept[key_of(sample.id)] = sample
    for name in part_files(folder, ".dropped.parquet"):
        for one in dropped_from_table(pq.read_table(folder.local(name))):
            dropped[key_of(one.id)] = one
    return Outcome(kept=kept, dropped=dropped, fall=waterfall(workspace, corpus))


@pytest.fixture
def planted(workspace: Workspace) -> Callable[..., Planted]:
    from ray import cloudpickle

    # Workers cannot import this file, so what it defines travels whole.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # type: ignore[no-untyped-call]  # without types

    def make(name: str = "planted", **more: Any) -> Planted:
        return Planted(workspace, name, **more)

    return make


@pytest.fixture
def curated(workspace: Workspace) -> Callable[..., Outcome]:
    def run(
        source: Source,
        *,
        workers: int = 0,
        policy: str = "default",
        contamination_set: Sequence[str] = (),
    ) -> Outcome:
        rules = policies.load(policy)
        options = RunOptions(workers=workers, quiet=True)
        curate_corpus(
            source, rules, workspace, options=options, contamination_set=contamination_set
        )
        return outcome(workspace, source.id)

    return run


@pytest.fixture
def dense_above(tmp_path: Path) -> Callable[[int], str]:
    """The default policy with another limit of neighbours by hash; returns its path."""

    def write(limit: int) -> str:
        text = (policies.POLICIES / "default.yaml").read_text()
        assert "max_neighbours: 64" in text
        path = tmp_path / f"dense-above-{limit}.yaml"
        path.write_text(text.replace("max_neighbours: 64", f"max_neighbours: {limit}"))
        return str(path)

    return write
