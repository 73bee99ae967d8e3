"""Ablation plans: a base recipe with its mixture specs, and the arms that change fields of them.

A change is a dotted path and a value:

- `recipe.model.shuffle: 4` changes the recipe;
- `specs.train.caps.cot: 0.2` changes the spec of the stage `train`;
- `spec.seed: 1` changes the spec of every stage;
- `profile.chat.loss: full` changes the recipe and all specs, which must agree on the profile;
- `policy: none` changes the curation policy.

A path may go through a list by index, or through all its entries with `*`. The value `null`
removes a key. Every arm is read and checked before any work starts.
"""

import copy
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from smolmix.config import StrictModel, validated
from smolmix.errors import UsageError, nearest
from smolmix.mixtures.spec.load import Reading, load_extended, parse_spec, resolve
from smolmix.model.train.recipe import HOLDS as RECIPE_HOLDS
from smolmix.model.train.recipe import RECIPES, Recipe, parse_recipe
from smolmix.pipelines.curate import policy as policies
from smolmix.storage import digest_json

PLANS = Path(__file__).parent / "plans"
_HOLDS = "an ablation plan has at least name, question, recipe, specs, evaluate and arms or a grid"
_ROOTS = ("recipe", "spec", "specs", "profile", "policy")
_ARM = r"^[a-z0-9][a-z0-9.%-]*$"


class Expectation(StrictModel):
    """A published claim about two arms, which the trials support or contradict."""

    arm: str
    than: str
    is_: Annotated[Literal["better", "worse"], Field(alias="is")]
    measure: str
    source: str


class AblationFile(StrictModel):
    """The keys of a plan's YAML file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    question: str
    recipe: str | dict[str, Any]
    specs: dict[str, str | dict[str, Any]]  # stage of the recipe -> its mixture spec
    policy: str = policies.DEFAULT
    set: dict[str, Any] = {}  # changes that every arm has
    arms: dict[Annotated[str, Field(pattern=_ARM)], dict[str, Any]] = {}
    grid: dict[str, list[Any]] = {}
    baseline: str | None = None  # the arm that the others are compared with; default: the first
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2)
    evaluate: Annotated[tuple[str, ...], Field(min_length=1)]
    questions: Annotated[int, Field(gt=0)] | None = None  # of each corpus; default: all
    metric: str = "exact_match"
    measures: tuple[str, ...] = ()  # CORPUS or CORPUS/GROUP/MEMBER; default: each corpus
    expect: tuple[Expectation, ...] = ()
    notes: str = ""  # how model size or data may limit what the plan can show

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.arms) == bool(self.grid):
            raise ValueError("give either arms or a grid")
        if any(not values for values in self.grid.values()):
            raise ValueError("a field of the grid has no values")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds repeat; each seed must give a different run")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One arm under one seed."""

    arm: str
    seed: int
    recipe: Recipe  # its stages name the mixtures of `readings`
    readings: dict[str, Reading]
    policy: str

    @property
    def name(self) -> str:
        """The name of the trial's unit."""
        return f"{self.arm}.s{self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationPlan:
    """A plan with every trial read and checked."""

    name: str
    path: str
    question: str
    notes: str
    baseline: str
    arms: Mapping[str, Mapping[str, Any]]  # arm -> its changes
    seeds: tuple[int, ...]
    evaluate: tuple[str, ...]
    questions: int | None
    metric: str
    measures: tuple[str, ...]
    expect: tuple[Expectation, ...]
    trials: tuple[Trial, ...]


def load_plan(name: str | Path) -> AblationPlan:
    """Return the plan in a file, or the plan of that name that ships with smolmix.

    Raises:
        UsageError: the file is not a valid plan, or an arm gives an invalid recipe or spec (the
            message names the arm).
    """
    path = Path(name)
    if not path.exists() and (PLANS / f"{name}.yaml").exists():
        path = PLANS / f"{name}.yaml"
    known = [p.stem for p in PLANS.glob("*.yaml") if not p.stem.startswith("_")]
    value = load_extended(path, _HOLDS, known)
    file = validated(AblationFile, value, path)
    combined = list(_grid(file.grid)) if file.grid else list(file.arms.items())
    arms = dict(combined)
    if len(arms) < len(combined):
        names = [name for name, _ in combined]
        twice = next(n for n in names if names.count(n) > 1)
        raise UsageError(
            f"{path}: grid: two arms get the name {twice!r}; list them under arms, with names"
        )
    baseline = file.baseline or next(iter(arms))
    for named in (baseline, *(a for e in file.expect for a in (e.arm, e.than))):
        if named not in arms:
            raise UsageError(
                f"{path}: unknown arm {named!r}; known: {', '.join(arms)}{nearest(named, arms)}"
            )
    measures = file.measures or file.evaluate
    for measure in (*measures, *(e.measure for e in file.expect)):
        if measure.split("/")[0] not in file.evaluate or measure.count("/") not in (0, 2):
            raise UsageError(
                f"{path}: measure {measure!r}: write CORPUS or CORPUS/GROUP/MEMBER, where CORPUS "
                f"is one of {', '.join(file.evaluate)}"
            )
    measures = tuple(dict.fromkeys((*measures, *(e.measure for e in file.expect))))
    base = _base(file, path)
    trials = tuple(
        _trial(file, base, arm, changes, seed, f"{path}: arm {arm}")
        for arm, changes in arms.items()
        for seed in file.seeds
    )
    _check_differ(trials, path)
    return AblationPlan(
        name=file.name,
        path=str(path),
        question=file.question,
        notes=file.notes,
        baseline=baseline,
        arms=arms,
        seeds=file.seeds,
        evaluate=file.evaluate,
        questions=file.questions,
        metric=file.metric,
        measures=measures,
        expect=file.expect,
        trials=trials,
    )


def _check_differ(trials: tuple[Trial, ...], path: Path) -> None:
    seen: dict[str, Trial] = {}
    for one in trials:
        same = seen.setdefault(f"{one.recipe.model_dump_json()} {one.policy}", one)
        if same is not one:
            raise UsageError(
                f"{path}: arms {same.arm} and {one.arm} are equal; each arm must change something"
            )


def _grid(grid: Mapping[str, list[Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every combination, named after the last part of each field and its value."""
    for values in itertools.product(*grid.values()):
        changes = dict(zip(grid, values, strict=True))
        parts = [f"{k.rsplit('.', 1)[-1]}-{v}" for k, v in changes.items()]
        name = "-".join(parts).replace("_", "-").replace(" ", "").lower()
        yield re.sub(r"[^a-z0-9.%-]+", "-", name), changes  # it names files


def _base(file: AblationFile, path: Path) -> dict[str, Any]:
    """Return the recipe, specs and policy that arms change."""
    recipe = file.recipe
    if isinstance(recipe, str):
        nearby = path.parent / recipe
        recipe = load_extended(
            nearby if nearby.exists() else RECIPES / f"{recipe}.yaml", RECIPE_HOLDS
        )
    specs = {}
    for stage, spec in file.specs.items():
        if isinstance(spec, str):
            nearby = path.parent / spec
            spec = load_extended(nearby if nearby.exists() else resolve(spec))
        specs[stage] = spec
    stages = [s.get("name") for s in recipe.get("stages", [])]
    if sorted(map(str, stages)) != sorted(specs):
        raise UsageError(
            f"{path}: specs are given for {', '.join(specs)}, but the recipe's stages are "
            f"{', '.join(map(str, stages))}; give one spec for each stage"
        )
    for holder in (recipe, *specs.values()):
        if isinstance(holder.get("profile"), str):  # a bare preset; changes go into its fields
            holder["profile"] = {"preset": holder["profile"]}
    return {"recipe": recipe, "specs": specs, "policy": file.policy}


def _trial(
    file: AblationFile,
    base: Mapping[str, Any],
    arm: str,
    changes: Mapping[str, Any],
    seed: int,
    where: str,
) -> Trial:
    tree = copy.deepcopy(dict(base))
    for path, value in {**file.set, **changes}.items():
        for parts in _targets(path, tree, where):
            _change(tree, parts, value, f"{where}: {path}")
    readings = {}
    for stage in tree["recipe"]["stages"]:
        spec = tree["specs"][stage["name"]]
        spec["seed"] = seed
        spec.pop("name", None)
        # Named by content, so that equal mixtures are built and trained once, whatever the plan.
        spec["name"] = stage["mixture"] = f"ablation-{digest_json(spec)[:10]}"
        readings[spec["name"]] = parse_spec(spec, where)
    tree["recipe"] |= {
        "name": "ablation",
        "seed": seed,
        "evaluate": list(file.evaluate),
    }
    tree["recipe"].setdefault("threads", 1)  # trials run in parallel; sums depend on the number
    recipe = parse_recipe(tree["recipe"], where)
    policies.load(tree["policy"])
    return Trial(arm=arm, seed=seed, recipe=recipe, readings=readings, policy=str(tree["policy"]))


def _targets(path: str, tree: Mapping[str, Any], where: str) -> Iterator[list[str]]:
    """Yield every place in the tree that a change's path refers to."""
    root, *rest = path.split(".")
    if root not in _ROOTS or (root != "policy") != bool(rest):
        raise UsageError(
            f"{where}: invalid path {path!r}; a path starts with "
            f"{', '.join(f'{r}.' for r in _ROOTS[:-1])} or is policy{nearest(root, _ROOTS)}"
        )
    if root in ("spec", "profile"):
        inner = [root, *rest] if root == "profile" else rest
        yield from (["specs", stage, *inner] for stage in tree["specs"])
    if root != "spec":
        yield ["recipe", "profile", *rest] if root == "profile" else [root, *rest]


def _change(tree: Any, parts: list[str], value: Any, where: str) -> None:
    head, *rest = parts
    if isinstance(tree, list):
        if head == "*":
            for entry in tree:
                _change(entry, rest, value, where)
            return
        if not head.isdigit() or int(head) >= len(tree) or not rest:
            raise UsageError(
                f"{where}: {head!r} is not an index into a list of {len(tree)}; write a number or *"
            )
        _change(tree[int(head)], rest, value, where)
    elif not isinstance(tree, dict):
        raise UsageError(f"{where}: {head!r} is below a value that has no keys")
    elif rest:
        if not isinstance(tree.get(head), dict | list):
            tree[head] = {}
        _change(tree[head], rest, value, where)
    elif value is None:
        tree.pop(head, None)
    else:
        tree[head] = copy.deepcopy(value)
