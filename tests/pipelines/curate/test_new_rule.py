"""The steps of curate/README.md for a filter of your own: one class, one line in a policy."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from smolmix.errors import UsageError
from smolmix.pipelines.curate import policy as policies
from smolmix.pipelines.curate.rules import RULES
from smolmix.pipelines.curate.rules.rule import MeasuredSample, Rule
from smolmix.workspace import Workspace

POLICY = """
filters:
  all:
    - rule: too-many-exclamations
      max_share: 0.1
      source: a test
"""


@pytest.fixture(autouse=True)
def _a_rule_of_our_own() -> Iterator[None]:
    """Define the rule for these tests; others must not find it among the rules of the package."""

    class TooManyExclamations(Rule):
        """At most `max_share` of the characters of the answers are exclamation marks."""

        name = "too-many-exclamations"
        max_share: float

        def problem(self, measured: MeasuredSample) -> str | None:
            """Return how many exclamation marks there are."""
            text = "".join(t.text for t in measured.sample.turns if t.role == "assistant")
            count = text.count("!")
            return (
                f"{count} of {len(text)} characters" if count > self.max_share * len(text) else None
            )

    yield
    del RULES[TooManyExclamations.name]


def test_a_new_rule_drops_what_it_finds_and_its_name_is_the_reason(
    planted: Callable[..., Any], curated: Callable[..., Any], workspace: Workspace, tmp_path: Any
) -> None:
    corpus = planted()
    corpus.add("calm", ("user", "Where is it?"), ("assistant", "Here it is! Look."))
    corpus.add("loud", ("user", "Where is it?"), ("assistant", "Here!!!"))
    path = tmp_path / "mine.yaml"
    path.write_text(POLICY)
    found = curated(corpus.write(), policy=str(path))
    assert set(found.kept) == {"calm"}
    assert found.dropped["loud"].reason == "too-many-exclamations"
    assert found.dropped["loud"].detail == "3 of 7 characters"
    assert found.fall.dropped == {"too-many-exclamations": 1}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("max_share: 0.1", "max_shar: 0.1", "did you mean 'max_share'"),
        ("max_share: 0.1", "max_share: much", "max_share"),
        ("      max_share: 0.1\n", "", "max_share"),
        ("too-many-exclamations", "too-many-exclamation", "did you mean 'too-many-exclamations'"),
    ],
)
def test_the_policy_checks_the_new_rules_name_and_thresholds(
    before: str, after: str, message: str
) -> None:
    policies.parse(POLICY, "mine.yaml")
    with pytest.raises(UsageError, match=message):
        policies.parse(POLICY.replace(before, after), "mine.yaml")


def test_two_rules_cannot_have_one_name() -> None:
    with pytest.raises(TypeError, match="two rules are named image-tiny"):
        type("Mine", (Rule,), {"name": "image-tiny", "problem": lambda self, measured: None})
    assert RULES["image-tiny"].__name__ == "ImageTiny"
