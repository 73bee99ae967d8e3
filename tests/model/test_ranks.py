"""Runs on several ranks: going on under another number of them."""

import signal
from pathlib import Path
from typing import Any

import pytest
from tests.model import ranks
from tests.pipelines.tokenize.conftest import clip_medium, image_medium, put_curated, put_picks
from tests.pipelines.tokenize.conftest import sample as made

from smolmix.model.recipe import Recipe
from smolmix.pipelines.pretokenize import tokenize_mixture
from smolmix.profiles import profile
from smolmix.storage import Workspace

SEQUENCE = 160


def recipe(name: str, **changes: Any) -> Recipe:
    stage = {
        "name": "one", "mixture": "m", "sequence_tokens": SEQUENCE, "sequences_per_step": 2,
        "steps": 8, "checkpoint_every": 2,
        "learning_rate": {"vision": 1e-2, "connector": 1e-2, "lm": 1e-2},
    }  # fmt: skip
    base = {"name": name, "threads": 1, "profile": {"preset": "nano", "style": "inference"},
            "model": {"preset": "tiny"}, "stages": [stage]}  # fmt: skip
    return Recipe.model_validate(base | changes)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Twenty sequences or more of every modality; many have no image."""
    workspace = Workspace(str(tmp_path_factory.mktemp("ranks")))
    media = [[image_medium(workspace, i, 40 + 9 * i, 60)] for i in range(3)]
    media += [[clip_medium(workspace, 20)]]
    put_curated(workspace, "seen", [made(n, "seen", media[n % 4]) for n in range(16)])
    put_curated(workspace, "said", [made(n, "said") for n in range(60)])
    put_picks(workspace, "m", ["seen", "said"])
    kept = tokenize_mixture(
        workspace, "m", profile("nano", style="inference"), SEQUENCE, quiet=True
    )
    assert kept.record.sequences > 16
    return workspace


@pytest.fixture(scope="module")
def undisturbed(filled: Workspace, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The metrics of one rank that nothing disturbed."""
    one = recipe("undisturbed")
    assert ranks.run(one, filled, tmp_path_factory.mktemp("notes"), ranks=1) == [0]
    return ranks.metrics(filled, one)


def same(found: list[Any], wanted: list[Any]) -> None:
    """The same sequences in each step, and losses within 1e-5."""
    assert len(found) == len(wanted) == 8
    for a, b in zip(found, wanted, strict=True):
        for key in ("step", "tokens", "supervised", "tiles", "taken"):
            assert a[key] == b[key], key
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
        assert a["losses"] == pytest.approx(b["losses"], abs=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)


def taken(notes: Path, size: int, steps: int) -> list[int]:
    """The places of the global order that `size` ranks trained on in `steps` steps."""
    each = [(notes / f"one-{size}-{r}.txt").read_text().split() for r in range(size)]
    return sorted(int(n) for places in each for n in places[: steps * 2 // size])


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_run_goes_on_under_another_number_of_ranks(
    filled: Workspace, undisturbed: list[Any], tmp_path: Path, before: int, after: int
) -> None:
    one = recipe(f"from-{before}-to-{after}")
    killed = ranks.run(one, filled, tmp_path, ranks=before, die_at=5)
    assert killed[0] == -signal.SIGKILL
    assert len(ranks.metrics(filled, one)) == 5
    assert ranks.run(one, filled, tmp_path, ranks=after) == [0] * after
    same(ranks.metrics(filled, one), undisturbed)
    order = taken(tmp_path, before, 4) + taken(tmp_path, after, 4)  # the last checkpoint was at 4
    assert order == list(range(16))
