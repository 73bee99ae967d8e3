"""A plan of two small arms, written with what a test changes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

BASE: dict[str, Any] = {
    "name": "two-arms",
    "question": "Does it help?",
    "recipe": {
        "name": "tiny",
        "profile": {"preset": "nano"},
        "model": {"preset": "nano"},
        "stages": [
            {
                "name": "train",
                "mixture": "any",
                "sequence_tokens": 512,
                "sequences_per_step": 1,
                "steps": 3,
                "learning_rate": {"vision": 1e-3, "connector": 1e-3, "lm": 1e-3},
            }
        ],
    },
    "specs": {
        "train": {
            "name": "any",
            "profile": {"preset": "nano"},
            "components": {"sums": {"corpus": "worked-sums", "subset": "plain"}},
        }
    },
    "evaluate": ["worked-sums"],
    "arms": {"as-it-is": {}, "longer": {"recipe.stages.*.steps": 4}},
}


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the plan with some keys changed."""

    def write(**changes: Any) -> Path:
        path = tmp_path / "plan.yaml"
        path.write_text(yaml.safe_dump({**BASE, **changes}, sort_keys=False))
        return path

    return write
