"""Generated documentation is what the code gives, and lists every key a file may have."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

import smolmix
from smolmix.mixtures.spec.load import parse_spec
from smolmix.mixtures.spec.spec import Spec
from smolmix.model.train.recipe import Recipe, parse_recipe
from smolmix.pipelines.ablations.plan import AblationFile, load_plan
from smolmix.pipelines.curate.policy import PolicyFile
from smolmix.pipelines.curate.rules import RULES
from smolmix.pipelines.sources.catalogue import Catalogue, read_catalogue

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("smolmix_docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_generated_parts_are_what_the_code_gives() -> None:
    generator = _generator()
    pages = generator.pages()
    assert len(pages) == 8
    old = [str(path) for path, text in pages.items() if path.read_text() != text]
    assert old == [], "run `python docs/generate.py`"
    assert generator.main(["--check"]) == 0


def test_a_part_is_replaced_between_its_marks_only() -> None:
    generator = _generator()
    (page,) = [p for p in generator.pages() if p.name == "mixtures.md"]
    text = page.read_text()
    filled = generator.fill(text, "keys", "other")
    assert filled == text.split("<!-- keys -->")[0] + (
        "<!-- keys -->\nother\n<!-- end of keys -->" + text.split("<!-- end of keys -->")[1]
    )
    with pytest.raises(ValueError, match="once where the keys belong"):
        generator.fill("no marks", "keys", "other")


def _keys(model: type[BaseModel]) -> set[str]:
    """Return the keys of a model and of every model within it."""
    found: set[str] = set()

    def walk(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for name, field in annotation.model_fields.items():
                found.add(field.alias or name)
                walk(field.annotation)
        elif get_origin(annotation) in (tuple, list, dict, Annotated, Union, UnionType):
            for inner in get_args(annotation):
                walk(inner)

    walk(model)
    return found


@pytest.mark.parametrize(
    ("model", "page"),
    [
        (Recipe, "recipes.md"),
        (AblationFile, "ablations.md"),
        (PolicyFile, "curation.md"),
        (Catalogue, "your-own-data.md"),
        (Spec, "mixtures.md"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_key_of_a_file_is_in_a_table_of_its_page(model: type[BaseModel], page: str) -> None:
    text = (DOCS / page).read_text() + (DOCS / "recipes.md").read_text()  # profiles are there
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))
    keys = _keys(model)
    assert len(keys) >= 10
    assert keys - listed - {"source"} == set()
    assert "`source`" in text


def test_every_rule_is_in_the_table_of_rules() -> None:
    text = (DOCS / "curation.md").read_text()
    assert [name for name in RULES if f"| `{name}` |" not in text] == []


def _examples(page: str) -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def test_the_recipes_of_the_documents_are_read() -> None:
    recipes = [parse_recipe(yaml.safe_load(text), "recipes.md") for text in _examples("recipes.md")]
    assert [recipe.name for recipe in recipes] == ["continue-256m", "tiny"]
    assert recipes[0].model.checkpoint is not None
    assert recipes[1].model.preset == "nano"
    (recipe,) = [
        parse_recipe(value, "own-data.md")
        for text in _examples("journeys/own-data.md")
        if "stages" in (value := yaml.safe_load(text))
    ]
    assert recipe == recipes[0].model_copy(update={"evaluate": ()})


def test_the_catalogue_of_the_journey_is_read(tmp_path: Path) -> None:
    (text,) = [t for t in _examples("journeys/own-data.md") if t.startswith("corpora:")]
    (tmp_path / "own.yaml").write_text(text)
    assert list(read_catalogue(str(tmp_path / "own.yaml"))) == ["my-photos"]


def test_the_mixture_of_the_journey_is_read() -> None:
    (value,) = [
        value
        for text in _examples("journeys/own-data.md")
        if "components" in (value := yaml.safe_load(text))
    ]
    assert list(parse_spec(value, "own-data.md").spec.components) == ["photos", "ai2d", "chartqa"]


def test_the_plan_of_the_document_is_read(tmp_path: Path) -> None:
    plan, grid = _examples("ablations.md")
    (tmp_path / "plan.yaml").write_text(plan)
    assert [trial.name for trial in load_plan(tmp_path / "plan.yaml").trials] == [
        f"{arm}.s{seed}" for arm in ("text-2", "text-10") for seed in (0, 1, 2)
    ]
    (tmp_path / "grid.yaml").write_text(plan.split("arms:")[0] + grid + "evaluate: [easy-vqa]\n")
    assert len(load_plan(tmp_path / "grid.yaml").arms) == 4


def test_the_python_of_the_documents_imports_public_names() -> None:
    found = []
    for page in sorted(DOCS.rglob("*.md")):
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            if page.name != "python.md":  # signatures, not programs
                for node in ast.walk(ast.parse(block)):
                    if isinstance(node, ast.ImportFrom) and node.module == "smolmix":
                        found += [alias.name for alias in node.names]
    assert len(found) >= 4
    assert set(found) - set(smolmix.__all__) == set()
