"""The options that verbs share, and how a verb opens its workspace and prints its result."""

import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from smolmix.errors import UsageError

if TYPE_CHECKING:
    from smolmix.workspace import Workspace

WorkspaceOption = Annotated[
    str, typer.Option("--workspace", "-w", help="Folder or fsspec URL that everything lives under.")
]
WorkersOption = Annotated[
    int,
    typer.Option("--workers", min=0, help="Ray workers; 0 runs in this process, without Ray."),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option("--ray-address", help="Join this Ray cluster instead of starting a local one."),
]
RecipeArgument = Annotated[
    str,
    typer.Argument(
        help="A recipe's YAML file, or one that ships: demo, starter-256m, paper-256m, paper-500m, "
        "paper-2.2b."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

# Earlier spellings that scripts still use, by verb. They work, and help does not show them.
_OLDER_SPELLINGS = {
    "curate": {"--against": "--contamination-set"},
    "tokenize": {"--tokens": "--sequence-length", "--tiles": "--max-tiles"},
    "evaluate": {"--against": "--baseline"},
    "export": {"--out": "--output"},
}


class Verb(TyperCommand):
    """A verb that also accepts the earlier spellings of its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Return the arguments that are no options, as the base class does."""
        older = _OLDER_SPELLINGS.get(self.name or "", {})
        names = [arg.partition("=") for arg in args]
        return super().parse_args(
            ctx, [f"{older.get(n, n)}{is_}{value}" for n, is_, value in names]
        )


DEFAULT_WORKSPACE = "workspace"
DEFAULT_WORKERS = os.cpu_count() or 1


def open_workspace(url: str, *, writable: bool = False) -> "Workspace":
    """Return the workspace at `url`.

    Args:
        url: a folder or an fsspec URL.
        writable: prove, before any work, that a file can be written there.

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
