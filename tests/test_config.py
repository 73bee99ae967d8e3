"""What people write by hand: every error is one line that says where and what is allowed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from smolmix.config import StrictModel, validated
from smolmix.errors import UsageError
from smolmix.mixtures.candidates.declared_sizes import read_counts
from smolmix.mixtures.spec.import_smolvlm2 import import_smolvlm2
from smolmix.mixtures.spec.load import read_spec
from smolmix.model.train.recipe import load_recipe
from smolmix.pipelines.ablations.plan import load_plan
from smolmix.pipelines.curate import policy
from smolmix.pipelines.sources.catalogue import read_catalogue

READERS: dict[str, Callable[[str], object]] = {
    "mixture": read_spec,
    "recipe": load_recipe,
    "plan": load_plan,
    "policy": policy.load,
    "catalogue": read_catalogue,
    "import": lambda path: import_smolvlm2(Path(path)),
}
DAMAGED = {
    "not UTF-8": (b"name: caf\xe9\n", "byte 9 is not UTF-8"),
    "empty": (b"", "empty; "),
    "only comments": (b"# later\n", "empty; "),
    "a word": (b"demo\n", "holds 'demo', not keys with values; "),
    "a list": (b"- a\n- b\n", "holds ['a', 'b'], not keys with values; "),
    "not closed": (b"name: x\ncomponents: [\n", "not YAML (line 3, column 1: "),
    "a key twice": (b"name: x\nseed: 1\nname: y\n", "line 3: 'name' is given twice; keep one"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_is_refused_in_one_line_by_every_reader(
    reader: str, damage: str, tmp_path: Path
) -> None:
    content, says = DAMAGED[damage]
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        READERS[reader](str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_missing_file_and_a_folder_are_refused_by_every_reader(
    reader: str, tmp_path: Path
) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for name, says in (("none.yaml", "no such file; "), ("folder.yaml", "cannot be read (Is a")):
        with pytest.raises(UsageError) as caught:
            READERS[reader](str(tmp_path / name))
        assert str(caught.value).startswith(f"{tmp_path / name}: {says}")


RECIPE = """name: mine
profile: nano
model: {preset: nano}
stages:
  - {name: one, mixture: m, sequence_tokens: 64, sequences_per_step: 1, steps: 2,
     learning_rate: {vision: 1, connector: 1, lm: 1, embeddings: 1}}
"""
POLICY = "dedup: {text: {bands: 20}, same_image: keep}\n"
CATALOGUE = "corpora: [{id: mine, path: x, format: llava, licence: MIT}]\n"
SLIPS = [
    ("recipe", RECIPE, "steps: 2", "stepps: 2", "stages.0.stepps: no such key; allowed: name, "),
    ("recipe", RECIPE, "steps: 2", "stepps: 2", "; did you mean 'steps'?"),
    ("recipe", RECIPE, "lm: 1", "ml: 1", "stages.0.learning_rate.ml: no such key; allowed: vision"),
    ("recipe", RECIPE, "lm: 1,", "", "stages.0.learning_rate.lm: missing; it must be given"),
    ("recipe", RECIPE, "steps: 2", "steps: many", "is 'many'; an integer is allowed"),
    ("recipe", RECIPE, "steps: 2", "steps: 2, epochs: 1", "stages.0: give either steps or epochs"),
    ("recipe", RECIPE, "name: mine", "name: My Run", "lower-case letters, digits and . -"),
    ("recipe", RECIPE, "profile: nano", "profile: 256m", "mine.yaml: model nano makes 4"),
    ("policy", POLICY, "bands", "band", "dedup.text.band: no such key; allowed: enabled, "),
    ("policy", POLICY, "keep", "kep", "dedup.same_image is 'kep'; 'keep', 'one' or 'merge' is"),
    ("policy", POLICY, "keep", "kep", "did you mean 'keep'?"),
    ("policy", POLICY, "dedup", "dedupe", "dedupe: no such key; allowed: filters, dedup, decont"),
    ("catalogue", CATALOGUE, "licence: MIT", "licens: MIT", "did you mean 'licence'?"),
    (
        "catalogue",
        CATALOGUE,
        "MIT",
        "MIT, heldout: '(['",
        "heldout is '(['; invalid regular expression",
    ),
    ("catalogue", CATALOGUE, "MIT", "MIT, files: '*.json'", "files is '*.json'; a list is allowed"),
    ("catalogue", "corpora: [{id: a}]\n", "[{id: a}]", "[]", "corpora is []; at least one is"),
    ("mixture", "name: x\ncomponents: {a: {corpus: b}}\n", "{a: {corpus: b}}", "{}", "at least on"),
]  # fmt: skip


@pytest.mark.parametrize(("reader", "text", "right", "wrong", "says"), SLIPS)
def test_a_slip_is_named_with_what_is_allowed(
    reader: str, text: str, right: str, wrong: str, says: str, tmp_path: Path
) -> None:
    assert right in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(right, wrong))
    with pytest.raises(UsageError) as caught:
        READERS[reader](str(path))
    assert says in str(caught.value)
    assert len(max(str(caught.value).splitlines(), key=len)) < 500


PLACES = [
    ("recipe", RECIPE, "steps: 2", "stepps: 2", "5: stages.0.stepps: no such key"),
    ("recipe", RECIPE, "lm: 1,", "", "6: stages.0.learning_rate.lm: missing"),
    ("recipe", RECIPE, "profile: nano", "profile: nano\nseed: x", "3: seed is 'x'; an integer is"),
    ("policy", POLICY, "keep", "kep", "1: dedup.same_image is 'kep'"),
    ("catalogue", CATALOGUE, "MIT", "MIT, files: '*.json'", "1: corpora.0.files is '*.json'"),
]  # fmt: skip


@pytest.mark.parametrize(("reader", "text", "right", "wrong", "says"), PLACES)
def test_an_error_is_reported_once_with_its_line(
    reader: str, text: str, right: str, wrong: str, says: str, tmp_path: Path
) -> None:
    assert right in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(right, wrong))
    with pytest.raises(UsageError) as caught:
        READERS[reader](str(path))
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{path}:{says}")


class Inner(StrictModel):
    size: int


class Outer(StrictModel):
    name: str = ""
    size: int | Inner | tuple[int, ...] = 0
    names: dict[str, str] = {}  # noqa: RUF012  # pydantic copies it


def test_a_value_of_several_types_has_one_error() -> None:
    def says(value: object) -> list[str]:
        with pytest.raises(UsageError) as caught:
            validated(Outer, value, "mine")
        return str(caught.value).splitlines()

    assert says({"size": "x"}) == [
        "mine: size is 'x'; an integer or keys with values or a list is allowed"
    ]
    assert says({"size": {"size": "x"}}) == ["mine: size.size is 'x'; an integer is allowed"]
    assert says({"size": {"sise": 3}}) == [
        "mine: size.sise: no such key; allowed: size; did you mean 'size'?"
    ]
    assert says({"nam": "x", "names": {"a": 1}}) == [
        "mine: nam: no such key; allowed: name, size, names; did you mean 'name'?",
        "mine: names.a is 1; text (put it in quotes) is allowed",
    ]


def test_a_value_from_another_file_is_reported_in_that_file(tmp_path: Path) -> None:
    base, mine = tmp_path / "base.yaml", tmp_path / "mine.yaml"
    base.write_text("# the base\nname: x\n\nsize: many\n")
    mine.write_text("extends: base.yaml\nname: y\n")
    with pytest.raises(UsageError) as caught:
        validated(Outer, {"name": "y", "size": "many"}, mine)
    assert str(caught.value).startswith(f"{base}:4: size is 'many'; ")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + RECIPE.encode())
    assert load_recipe(path).name == "mine"


def test_counts_that_are_not_utf_8_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_bytes(b"component,samples\ncaf\xe9,3\n")
    with pytest.raises(UsageError, match=r"counts\.csv: not a CSV file in UTF-8"):
        read_counts(path)
