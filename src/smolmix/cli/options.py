"""What verbs share: options that mean the same everywhere, opening a workspace, printing."""

import functools
import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from smolmix.errors import UsageError
from smolmix.machine import available_cpus

if TYPE_CHECKING:
    from smolmix.engine.stage import RunOptions
    from smolmix.workspace import Workspace

_ROOT = Path(__file__).resolve().parent.parent
DEFAULT_WORKSPACE = "workspace"
DEFAULT_WORKERS = available_cpus()

# Earlier spellings that scripts still use, by verb. They work, and help does not show them.
_OLDER_SPELLINGS = {
    "curate": {"--against": "--contamination-set"},
    "tokenize": {"--tokens": "--sequence-length", "--tiles": "--max-tiles"},
    "evaluate": {"--against": "--baseline"},
    "export": {"--out": "--output"},
}


def _recipes() -> list[str]:
    return sorted(path.stem for path in (_ROOT / "model" / "recipes").glob("*.yaml"))


def _mixtures() -> list[str]:
    return sorted(path.stem for path in (_ROOT / "mixtures").glob("*.yaml"))


WorkspaceOption = Annotated[
    str,
    typer.Option(
        "--workspace",
        "-w",
        envvar="SMOLMIX_WORKSPACE",
        help="Folder or fsspec URL of the workspace, which holds all data and results.",
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        help="Ray workers; 0 runs in this process, without Ray.",
        show_default="one for each CPU that may be used",
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option("--ray-address", help="Join this Ray cluster instead of starting a local one."),
]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        autocompletion=_recipes,
        help="A recipe's YAML file, or one that ships: demo, starter-256m, paper-256m, paper-500m, "
        "paper-2.2b.",
    ),
]
SpecArgument = Annotated[
    str,
    typer.Argument(
        autocompletion=_mixtures,
        help="A mixture's YAML file, or one that ships: demo, starter, smolvlm2-2.2b, …",
    ),
]
PartialOption = Annotated[
    bool,
    typer.Option(
        "--partial", help="Build mixtures without components whose data was never published."
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only check, and print what would be done.")
]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="Prepare inputs as for this model: nano, 256m, 500m or 2.2b. By default as the "
        "mixture's spec or the checkpoint says.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print the result and errors only, no progress.")
]
_VerboseOption = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Also print every internal step, and where errors arise."),
]


@dataclass(slots=True)
class _Verbosity:
    """How much the verb that runs prints; -q and -v of the call decide."""

    quiet: bool = False
    verbose: bool = False


VERBOSITY = _Verbosity()


def set_verbosity(*, quiet: bool = False, verbose: bool = False) -> None:
    """Decide how much is printed from here on.

    Raises:
        UsageError: both are given.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose: both were given; choose one")
    VERBOSITY.quiet, VERBOSITY.verbose = quiet, verbose


def note(text: str) -> None:
    """Print a line about progress on standard error, unless the call is quiet."""
    if not VERBOSITY.quiet:
        print(text, file=sys.stderr)


def run_options(workers: int = 0, ray_address: str | None = None) -> "RunOptions":
    """Return how the stages of this call run, and how much they print."""
    from smolmix.engine.stage import RunOptions

    return RunOptions(
        workers=workers,
        ray_address=ray_address,
        quiet=VERBOSITY.quiet,
        verbose=VERBOSITY.verbose,
    )


class _Verb(TyperCommand):
    """A verb that also accepts the earlier spellings of its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the arguments that are left over, as the base class does."""
        older = _OLDER_SPELLINGS.get(self.name or "", {})
        names = [arg.partition("=") for arg in args]
        return super().parse_args(
            ctx, [f"{older.get(name, name)}{equals}{value}" for name, equals, value in names]
        )


def add_verb(
    app: typer.Typer, verb: Callable[..., None], *, short_help: str, name: str | None = None
) -> None:
    """Register a verb, and give it the options that every verb has: -q and -v.

    Args:
        app: the group it belongs to.
        verb: the function that runs it; its parameters are the verb's arguments and options.
        short_help: its line in the group's help.
        name: where it differs from the function's.
    """

    @functools.wraps(verb)
    def call(
        *args: Any, quiet: _QuietOption = False, verbose: _VerboseOption = False, **kwargs: Any
    ) -> None:
        set_verbosity(quiet=quiet, verbose=verbose)
        verb(*args, **kwargs)

    found = inspect.signature(verb, eval_str=False)
    added = {"quiet": _QuietOption, "verbose": _VerboseOption}
    more = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=a)
        for n, a in added.items()
    ]
    # Functions may have this attribute, which inspect reads; their type does not list it.
    call.__signature__ = found.replace(  # type: ignore[attr-defined]
        parameters=[*found.parameters.values(), *more]
    )
    call.__annotations__ = verb.__annotations__ | added
    app.command(name, cls=_Verb, short_help=short_help)(call)


def open_workspace(url: str, *, writable: bool = False) -> "Workspace":
    """Return the workspace at `url`.

    Args:
        url: a folder or an fsspec URL.
        writable: check, before any work, that a file can be written there.

    Raises:
        UsageError: it cannot be opened, or not be written to.
    """
    from smolmix.workspace import Workspace

    try:
        workspace = Workspace(url)
        if writable:
            workspace.write_bytes(".writable", b"")
            workspace.remove(".writable")
    except (OSError, ValueError, ImportError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"--workspace {url}: {reason}; name a folder that can be written to"
        ) from error
    return workspace


def print_json(value: object) -> None:
    """Print a result for machines on standard output."""
    sys.stdout.write(json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")
