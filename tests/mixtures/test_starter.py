"""`starter.yaml` from a hub on loopback to a selection: fetched, curated, counted, mixed."""

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from smolmix.engine.stage import RunOptions
from smolmix.mixtures.built.run import build, spec_profile
from smolmix.mixtures.spec.catalogue import corpora_of
from smolmix.mixtures.spec.load import read_spec
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.corpora.demo.moving_shapes import draw_clip, encoded
from smolmix.pipelines.curate import policy as policies
from smolmix.pipelines.curate.run import curate_corpus
from smolmix.pipelines.fetch.run import fetch
from smolmix.pipelines.pretokenize.counts import ensure_counts
from smolmix.workspace import Workspace

SHA = "0123456789abcdef0123456789abcdef01234567"
ROWS = 12  # of each Cauldron subset
WORDS = ("river", "engine", "garden", "violin", "harbour", "lantern", "meadow", "quarry")


def sentence(*numbers: int) -> str:
    rng = np.random.default_rng(list(numbers))
    return " ".join(str(w) for w in rng.choice(WORDS, 12)).capitalize() + f" {sum(numbers)}."


def parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def png(*numbers: int) -> bytes:
    noise = np.random.default_rng(list(numbers)).integers(0, 255, (48, 64, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


def cauldron(number: int, images: int) -> bytes:
    rows = [
        {
            "images": [
                {"bytes": png(number, i, k), "path": f"{number}-{i}-{k}.png"} for k in range(images)
            ],
            "texts": [
                {
                    "user": f"What is shown in picture {number * ROWS + i}?",
                    "assistant": sentence(number, i),
                    "source": "x",
                }
            ],
        }
        for i in range(ROWS)
    ]
    return parquet(pa.Table.from_pylist(rows))


def clips(config: str) -> dict[str, bytes]:
    rows, tar = [], io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        for i in range(6):
            name = f"perception_test/videos/video_{config[:2]}{i}.mp4"
            data = encoded(draw_clip(f"{config}-{i:04d}"))
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
            turns = [
                {"from": "human", "value": f"<image>\nWhat moves in clip {config} {i}?"},
                {"from": "gpt", "value": sentence(i, len(config), ord(config[0]))},
            ]
            rows.append(
                {
                    "id": f"{config}-{i}",
                    "conversations": turns,
                    "video": name,
                    "data_source": config,
                }
            )
    return {
        f"{config}/{config}_mc_qa_processed.json": json.dumps(rows).encode(),
        f"{config}/{config}_videos_1.tar.gz": tar.getvalue(),
    }


def magpie() -> bytes:
    rows = [
        {
            "id": f"{i:06d}",
            "conversations": [
                {"from": "human", "value": f"Tell me of {sentence(7, i)}"},
                {"from": "gpt", "value": " ".join(sentence(8, i, k) for k in range(5))},
            ],
        }
        for i in range(200)
    ]
    return parquet(pa.Table.from_pylist(rows))


def published() -> dict[str, dict[str, bytes]]:
    """Return the repositories that the starter needs, small: repository -> path -> bytes."""
    spec = read_spec("starter").spec
    subsets = [c.subset[0] for c in spec.components.values() if c.corpus == "the-cauldron"]
    return {
        "HuggingFaceM4/the_cauldron": {
            f"{name}/train-00000-of-00001-{i:016x}.parquet": cauldron(
                i, 2 if name == "spot_the_diff" else 1
            )
            for i, name in enumerate(subsets)
        },
        "lmms-lab/LLaVA-Video-178K": {
            **clips("0_30_s_perceptiontest"),
            **clips("30_60_s_perceptiontest"),
        },
        "lmms-lab/LLaVA-OneVision-Data": {"magpie_pro(qwen2_72b_st)/train-0.parquet": magpie()},
    }


def _handler(repos: dict[str, dict[str, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _send(self, data: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path).lstrip("/")
            for repo, files in repos.items():
                if path.startswith(f"api/datasets/{repo}/tree/"):
                    return self._send(_tree(files), Content_Type="application/json")
                if path.startswith(f"api/datasets/{repo}"):
                    return self._send(
                        json.dumps({"id": repo, "sha": SHA}).encode(),
                        Content_Type="application/json",
                    )
                name = path.removeprefix(f"datasets/{repo}/resolve/{SHA}/")
                if name in files:
                    etag = f'"{hashlib.sha1(files[name]).hexdigest()}"'
                    return self._send(files[name], X_Repo_Commit=SHA, ETag=etag)
            return self._send(b"", 404)

    return Handler


def _tree(files: dict[str, bytes]) -> bytes:
    def oid(data: bytes) -> str:
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()

    entries: list[dict[str, Any]] = [
        {"type": "file", "path": path, "size": len(data), "oid": oid(data)}
        for path, data in files.items()
    ]
    return json.dumps(entries).encode()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(published()))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    yield url
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_starter_is_built_from_a_hub(hub: str, workspace: Workspace, tmp_path: Path) -> None:
    small = tmp_path / "small.yaml"
    small.write_text("name: small\nextends: starter\ntotal: {samples: 150}\n")
    reading = read_spec(small)
    rules = policies.load("default")
    corpora = corpora_of(reading.spec)
    assert corpora == ["llava-video-178k", "ov-magpie-qwen2-st", "the-cauldron"]
    for corpus in corpora:
        assert fetch(SOURCES[corpus], workspace).revision == SHA
        curate_corpus(SOURCES[corpus], rules, workspace, options=RunOptions(quiet=True))
    ensure_counts(workspace, corpora, spec_profile(reading.spec), RunOptions(quiet=True))
    lock = build(reading, workspace)
    assert lock.samples == 150
    assert lock.achieved["shares.modality.text"] == pytest.approx(0.14, abs=1e-3)
    assert lock.corpora["the-cauldron"].revision == SHA
    selection = pl.read_parquet(workspace.mixture("small").local("selection.parquet"))
    there = dict(selection.group_by("corpus").len().iter_rows())
    assert there["ov-magpie-qwen2-st"] == 21
    assert there["llava-video-178k"] >= 3
