"""Imports point down only, group by group, and the command line imports nothing heavy."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("pipelines", "mixtures", "tokenize", "model")
HEAVY = ("ray", "torch", "polars", "pyarrow", "transformers", "datasets", "pydantic", "scipy", "av")
MOST_ARROWS = 90

# From the ground up: a group imports only groups of lower layers, or of its own.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("smolmix",),  # the modules directly in src/smolmix
    ("engine",),
    ("mixtures/spec", "tokenize/chat", "tokenize/tiles"),
    ("mixtures/selection", "tokenize/shards"),
    ("mixtures/candidates", "tokenize"),
    ("mixtures/solve", "model/arch"),
    ("mixtures/plan", "mixtures/built", "model/train"),
    ("model/eval",),
    ("pipelines/formats",),
    ("pipelines/sources",),
    ("pipelines/corpora",),
    ("pipelines/fetch", "pipelines/curate"),
    ("pipelines/pretokenize", "pipelines/stats"),
    ("pipelines/report",),
    ("pipelines",),  # run.py: the stages in order
    ("pipelines/ablations",),
    ("api",),  # what `import smolmix` offers
    ("cli",),
)
# What a room must never import, whatever its layer.
FORBIDDEN = {"mixtures": ("ray", "torch"), "tokenize": ("ray",)}


def _modules() -> dict[str, Path]:
    """Every product module by its dotted name."""
    found = {}
    for top in (*ROOMS, "src/smolmix"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if top == "src/smolmix" and path.relative_to(ROOT / top).parts[0] in ROOMS:
                continue
            below = path.relative_to(ROOT / "src" if top == "src/smolmix" else ROOT)
            dotted = ".".join(below.with_suffix("").parts).removesuffix(".__init__")
            found[dotted if top == "src/smolmix" else f"smolmix.{dotted}"] = path
    return found


MODULES = _modules()


def _group(module: str) -> str:
    """Return a module's group: a room's folder, or the part of the package that it lies in."""
    if module in ("smolmix", "smolmix.api"):
        return "api"
    parts = module.split(".")[1:]
    package = MODULES[module].name == "__init__.py"
    folders = parts if package else parts[:-1]
    return "/".join(folders[:2]) if folders else "smolmix"


def _imports(path: Path) -> Iterator[str]:
    """Yield what a file imports: a product module by its full name, anything else as written."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module


def _arrows() -> dict[tuple[str, str], list[str]]:
    """Return (from group, to group) -> the imports that make it an arrow."""
    found = defaultdict(list)
    for module, path in MODULES.items():
        for imported in _imports(path):
            if imported in MODULES and _group(imported) != _group(module):
                found[_group(module), _group(imported)].append(f"{module} imports {imported}")
    return found


ARROWS = _arrows()


def test_every_group_has_a_layer() -> None:
    assert {_group(module) for module in MODULES} == {g for layer in LAYERS for g in layer}


def test_imports_point_down_only() -> None:
    height = {group: n for n, layer in enumerate(LAYERS) for group in layer}
    upwards = [
        f"{why[0]} ({source} is not above {target})"
        for (source, target), why in sorted(ARROWS.items())
        if height[source] <= height[target]
    ]
    assert not upwards, "\n".join(upwards)


def test_there_are_few_arrows_between_groups() -> None:
    arrows = {(_coarse(source), _coarse(target)) for source, target in ARROWS}
    arrows = {(source, target) for source, target in arrows if source != target}
    groups = {_coarse(group) for layer in LAYERS for group in layer}
    print(f"{len(arrows)} import arrows between {len(groups)} groups")
    assert len(groups) >= 18
    assert 20 <= len(arrows) <= MOST_ARROWS, f"{len(arrows)} arrows between {len(groups)} groups"


def _coarse(group: str) -> str:
    """Return the group to count by: `mixtures` and `tokenize` are one group each."""
    room = group.split("/")[0]
    return room if room in ("mixtures", "tokenize") else group


def test_modules_import_each_other_in_no_circle() -> None:
    below = {
        module: {i for i in _imports(path) if i in MODULES and i != module}
        for module, path in MODULES.items()
    }
    done: set[str] = set()
    for start in sorted(below):
        _walk(start, below, (), done)
    assert len(done) == len(MODULES)


def _walk(module: str, below: dict[str, set[str]], above: tuple[str, ...], done: set[str]) -> None:
    assert module not in above, " -> ".join((*above[above.index(module) :], module))
    if module in done:
        return
    for inner in sorted(below[module]):
        _walk(inner, below, (*above, module), done)
    done.add(module)


def test_rooms_import_no_library_that_is_not_theirs() -> None:
    checked = 0
    for room, libraries in FORBIDDEN.items():
        for path in sorted((ROOT / room).rglob("*.py")):
            for name in _imports(path):
                assert name.split(".")[0] not in libraries, f"{path} imports {name}"
                checked += 1
    assert checked > 100


def test_the_command_line_imports_nothing_heavy_before_a_verb_needs_it() -> None:
    code = (
        "import sys, smolmix.cli; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(smolmix.cli.app, ['--help']).exit_code == 0; "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
