"""The `smolmix` command: one module a room, each adding its verbs.

Nothing here imports Ray, torch or polars: a verb imports what it needs when it runs, so that
`smolmix --help` answers at once.
"""

import importlib
import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from smolmix.errors import SmolmixError, machine_error
from smolmix.version import __version__

# In the order of a day's work, which is the order of `smolmix --help`.
_DAY = (
    "corpora", "fetch", "curate", "mix", "tokenize", "train", "evaluate", "generate", "run",
    "stats", "report", "browse", "verify", "export", "build", "ablate",
)  # fmt: skip
_ROOMS = ("corpora", "curate", "mix", "tokenize", "model", "inspect", "run", "ablate")

_INTERRUPTED = 128 + signal.SIGINT


class _InOrder(TyperGroup):
    """Lists its verbs in the order of a day's work; typer puts groups of verbs last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the verbs."""
        return sorted(super().list_commands(ctx), key=_DAY.index)


app = typer.Typer(
    name="smolmix",
    cls=_InOrder,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help=(
        "Rebuild SmolVLM's training data, and train a compact vision-language model on it.\n\n"
        "Example: smolmix run model/recipes/demo.yaml"
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"smolmix {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


for _room in _ROOMS:
    importlib.import_module(f"smolmix.cli.{_room}").add(app)


def main() -> None:
    """Run the command line; a `SmolmixError` becomes one line and its exit code."""
    # Read when torch loads. Threads that spin while they wait make training ten times slower
    # beside another process (seen here: 121 tokens/s instead of over 1,000).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except SmolmixError as error:
        print(f"smolmix: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        said = machine_error(error)
        if said is None:
            raise
        print(f"smolmix: {said}; what is whole is kept, run the same again", file=sys.stderr)
        sys.exit(1)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # typer has caught Ctrl-C, and said nothing
            print("smolmix: interrupted; what is whole is kept, run the same again",
                  file=sys.stderr)  # fmt: skip
        raise
