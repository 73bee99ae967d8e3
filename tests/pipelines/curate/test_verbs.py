"""The verb curate as a person types it, over two corpora of their own."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from smolmix.cli import app
from smolmix.removals import set_folder
from smolmix.workspace import Workspace, part_files

LEAK = "The seventh lighthouse keeper counted every ship that passed him before the long winter."


def _call(*words: str) -> Any:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


def _png(seed: int | None) -> bytes:
    """A picture of its own, or a blank one."""
    image = Image.new("RGB", (160, 120), "white")
    if seed is not None:
        rng = np.random.default_rng(seed)
        small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        image = small.resize((160, 120), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _chat(key: str, said: str, image: str = "") -> dict[str, Any]:
    asked = f"What of {key}?" if image else "Go on, please, and tell me all of it."
    question = f"<image>\n{asked}" if image else asked
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": said}]
    return {"id": key, "conversations": turns} | ({"image": image} if image else {})


@pytest.fixture
def fetched(workspace: Workspace, tmp_path: Path) -> tuple[str, ...]:
    """Two fetched corpora; return the options that name their workspace."""
    options = ("--workspace", workspace.path)
    catalogue = "corpora:\n"
    for name, seed in (("mine", 1), ("yours", 2)):
        here = tmp_path / name
        here.mkdir()
        (here / "own.png").write_bytes(_png(seed))
        (here / "blank.png").write_bytes(_png(None))
        rows = [
            _chat("own", f"A picture of {name}.", "own.png"),
            _chat("blank", "There is nothing to see.", "blank.png"),
            _chat("shared", "The very same answer stands in both of the corpora, word for word."),
            _chat("leak", f"So it goes in {name}: {LEAK.lower()} And nobody asked him why."),
        ]
        (here / "rows.json").write_text(json.dumps(rows))
        catalogue += f"  - {{id: {name}, path: {here}, format: llava, licence: MIT}}\n"
    file = tmp_path / "own.yaml"
    file.write_text(catalogue)
    _call("fetch", "mine", "yours", "--catalogue", str(file), *options)
    return options


def test_curate_across_two_corpora_and_against_a_file(
    fetched: tuple[str, ...], workspace: Workspace, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    held = tmp_path / "held.txt"
    held.write_text(LEAK + "\n")
    asked = (
        "curate",
        "mine",
        "yours",
        "--contamination-set",
        str(held),
        "--across",
        "--workers",
        "0",
    )
    done = _call(*asked, "--json", *fetched)
    for fall in json.loads(done.stdout):
        assert fall["kept"] == 2
        assert fall["dropped"] == {"contaminated-text": 1, "image-blank": 1}
    assert "duplicates between corpora: 1 duplicate-exact" in done.stderr
    folder = set_folder(workspace, ["mine", "yours"])
    (name,) = part_files(folder)
    (removal,) = pq.read_table(folder.local(name)).to_pylist()
    assert removal["id"].startswith("yours/")
    assert removal["kept_id"].startswith("mine/")


def test_headers_only_opens_no_pixels(fetched: tuple[str, ...]) -> None:
    done = _call("curate", "mine", "--headers-only", "--workers", "0", *fetched)
    assert "image-blank" not in done.stdout
    whole = _call("curate", "mine", "--workers", "0", *fetched)
    assert "image-blank" in whole.stdout


def test_a_file_to_keep_out_that_is_not_there_is_refused(fetched: tuple[str, ...]) -> None:
    asked = ["curate", "mine", "--contamination-set", "none.txt", "--workers", "0", *fetched]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code != 0
    assert "--contamination-set none.txt" in str(done.exception)


def test_two_policies_side_by_side_rewrite_no_corpus(
    fetched: tuple[str, ...], workspace: Workspace
) -> None:
    _call("curate", "mine", "--workers", "0", *fetched)
    before = workspace.curated("mine").read_bytes("stage.json")
    done = _call("curate", "mine", "--compare", "none", "--workers", "0", *fetched)
    assert [line.split() for line in done.stdout.splitlines() if "image-blank" in line] == [
        ["-", "image-blank", "1", "0"]
    ]
    assert "only by the second 1" in done.stdout
    assert workspace.curated("mine").read_bytes("stage.json") == before
