"""A prompt depends on the key alone, and all prompts of a kind are used."""

from collections import Counter

import pytest

from smolmix.pipelines.sources import prompts
from smolmix.pipelines.sources.prompts import pick

KINDS = {name: value for name, value in vars(prompts).items() if isinstance(value, tuple)}


def test_the_prompt_of_a_key_never_changes() -> None:
    assert [pick(("a", "b", "c"), f"clip-{n}") for n in (1, 2, 3, 4)] == ["a", "a", "b", "b"]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_all_prompts_of_a_kind_are_used_about_equally(kind: str) -> None:
    counts = Counter(pick(KINDS[kind], str(n)) for n in range(3_000))
    assert set(counts) == set(KINDS[kind])
    assert min(counts.values()) > 0.8 * 3_000 / len(KINDS[kind])


def test_there_are_prompts_for_each_kind_of_media() -> None:
    assert {"DESCRIBE_IMAGE", "DESCRIBE_VIDEO", "READ_FORMULA"} <= set(KINDS)
