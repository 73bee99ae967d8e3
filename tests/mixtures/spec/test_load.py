"""A wrong spec is refused with one line for each fault, naming file, key, value and remedy."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from smolmix.errors import UsageError
from smolmix.mixtures.spec.load import parse_spec, read_spec

GOOD: dict[str, Any] = {
    "name": "a",
    "components": {"x": {"corpus": "easy-vqa", "where": "duration_s <= 3", "take": "76.05 %"}},
    "caps": {"cot": {"value": "0.05 %", "source": "the paper"}},
    "shares": {"modality": {"text": {"value": 0.14, "source": "the paper"}}},
}

WRONG = [
    ("components.x.share", -0.2, "components.x.share is -0.2; a share is between 0 and 1"),
    ("components.x.shar", 0.2, "did you mean 'share'?"),
    ("components.x.share", 0.2, "take and share are both set"),
    ("components.x.take", "some", "take is 'all', a number of samples, or a percentage"),
    ("components.x.where", "duration <= 3", "did you mean 'duration_s'?"),
    ("components.x.where", "licence < MIT", "orders names"),
    ("components.x.corpus", None, "components.x.corpus"),
    ("components", {}, "components"),
    ("caps.cot", 2, "caps.cot is 2; a share is between 0 and 1"),
    ("caps.epochs", 0, "caps.epochs is 0"),
    ("caps.duration_s", {"mean": 300, "max": 180}, "mean 300 s is above max 180 s"),
    ("shares.modality.text", {"min": 0.5, "max": 0.2}, "min 0.5 is above max 0.2"),
    ("shares.modality", {"text": 0.6, "image": 0.6}, "its shares add up to 1.2; at most 1"),
    ("shares.modalty", {"text": 0.6}, "shares.modalty: no such tag"),
    ("shares.component", {"y": 0.1}, "shares.component.y: no such component"),
    ("shares.cot", {"declared": 0.1}, "caps.cot is 0.0005, below shares.cot.declared"),
    ("profile", "257m", "did you mean '256m'?"),
    ("total", -3, "total is -3"),
    ("total", {"samples": 3, "tokens": 4}, "samples and tokens are both set"),
    ("seed", "x", "seed is 'x'"),
    ("name", "A b", "name is 'A b'"),
]


def changed(key: str, value: Any) -> dict[str, Any]:
    spec = copy.deepcopy(GOOD)
    at = spec
    *path, last = key.split(".")
    for name in path:
        at = at[name]
    at[last] = value
    return spec


@pytest.mark.parametrize(("key", "value", "said"), WRONG, ids=[w[2] for w in WRONG])
def test_a_wrong_value_is_refused(key: str, value: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_spec(changed(key, value), "f.yaml")
    assert said in str(caught.value)
    assert all(line.startswith("f.yaml: ") for line in str(caught.value).splitlines())
    assert caught.value.exit_code == 2


def test_sources_of_numbers_are_kept() -> None:
    found = parse_spec(GOOD, "f.yaml")
    assert found.spec.caps.cot.max == 0.0005
    assert found.spec.shares["modality"]["text"].min == 0.14
    assert found.sources["shares.modality.text"] == "the paper"


def test_every_error_is_a_line_of_the_message() -> None:
    spec = changed("seed", -1)
    spec["total"] = 0
    with pytest.raises(UsageError) as caught:
        parse_spec(spec, "f.yaml")
    assert len(str(caught.value).splitlines()) == 2


def test_a_spec_extends_another(spec_file: Callable[..., Path]) -> None:
    spec_file(
        "name: below\ntotal: 10\ncomponents:\n"
        "  one: {corpus: easy-vqa, take: all}\n  two: {corpus: word-problems, take: 5}\n",
        "below.yaml",
    )
    path = spec_file(
        "name: above\nextends: below.yaml\ntotal: null\ncomponents:\n"
        '  "*": {flexible: true}\n  one: null\n  two: {epochs: 3}\n'
    )
    spec = read_spec(path).spec
    assert (spec.name, list(spec.components)) == ("above", ["two"])
    two = spec.components["two"]
    assert (two.flexible, two.epochs, two.take and two.take.samples) == (True, 3, 5)
    assert spec.total.samples is None


def test_a_circle_of_extends_is_refused(spec_file: Callable[..., Path]) -> None:
    spec_file("name: a\nextends: b.yaml\n", "a.yaml")
    path = spec_file("name: b\nextends: a.yaml\n", "b.yaml")
    with pytest.raises(UsageError, match="remove one of the two"):
        read_spec(path)


@pytest.mark.parametrize("text", ["[1, 2]", "a: b: c", ""])
def test_a_file_that_is_no_mapping_is_refused(text: str, spec_file: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match=r"mix\.yaml: "):
        read_spec(spec_file(text))


def test_a_missing_file_names_the_shipped_mixtures() -> None:
    with pytest.raises(UsageError, match=r"no such file.*demo"):
        read_spec("nowhere")


def test_the_documented_mixture_is_one() -> None:
    text = (Path(__file__).parents[3] / "docs" / "mixtures.md").read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    assert len(parse_spec(yaml.safe_load(example), "docs").spec.components) == 5


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("totl: 3\n", 3, "totl: no such key; allowed: "),
        ("shares: {modality: {txt: 0.1}}\n", 3, "shares.modality.txt: no such modality"),
        ("shares:\n  modalty: {text: 0.1}\n", 4, "shares.modalty: no such tag"),
        ("shares:\n  component:\n    y: 0.1\n", 5, "shares.component.y: no such component"),
        ("shares:\n  modality: {text: 0.6, image: 0.6}\n", 4, "add up to 1.2"),
        ("caps:\n  cot: 0.05 %\nshares: {cot: {declared: 0.1}}\n", 4, "below shares.cot.declared"),
        ("shares:\n  modality:\n    text: {mim: 0.1}\n", 5, "text.mim: no such key; allowed: min"),
    ],
)
def test_every_error_names_its_line(
    text: str, line: int, message: str, spec_file: Callable[..., Path]
) -> None:
    path = spec_file(f"name: mix\ncomponents: {{x: {{corpus: easy-vqa}}}}\n{text}")
    with pytest.raises(UsageError) as caught:
        read_spec(path)
    (said,) = str(caught.value).splitlines()
    assert said.startswith(f"{path}:{line}: ")
    assert message in said
