"""Workspaces with curated and counted corpora made of columns, without media or Ray."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.synthetic import write_corpus

from smolmix.profiles import profile
from smolmix.workspace import Workspace

NANO = profile("nano", style="inference")
Corpus = Callable[..., None]


@pytest.fixture
def corpus(workspace: Workspace) -> Corpus:
    """Return a function that writes one corpus: `corpus(name, rows, **columns)`."""

    def write(name: str, rows: int, **columns: Any) -> None:
        write_corpus(workspace, name, rows, NANO, **columns)

    return write


@pytest.fixture
def spec_file(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes a spec's text to a file."""

    def write(text: str, name: str = "mix.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
