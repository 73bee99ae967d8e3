"""The `smolmix` command: each module here adds its verbs.

Nothing here imports Ray, torch or polars: a verb imports what it needs when it runs, so that
`smolmix --help` and a mistyped name are answered at once.
"""

import importlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from smolmix.cli.options import VERBOSITY, set_verbosity
from smolmix.errors import SmolmixError, machine_error
from smolmix.version import __version__

# In the order of the pipeline, which is the order of `smolmix --help`.
_ORDER = (
    "corpora", "fetch", "curate", "mix", "tokenize", "train", "evaluate", "generate", "run",
    "stats", "report", "browse", "verify", "export", "build", "ablate",
)  # fmt: skip
_MODULES = ("corpora", "curate", "mix", "tokenize", "model", "inspect", "run", "ablate")

_INTERRUPTED = 128 + signal.SIGINT
_KEPT = "what is finished is kept; run the same command again to continue"


class _InOrder(TyperGroup):
    """Lists its verbs in the order of the pipeline; typer puts groups of verbs last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the verbs."""
        return sorted(super().list_commands(ctx), key=_ORDER.index)


app = typer.Typer(
    name="smolmix",
    cls=_InOrder,
    no_args_is_help=True,
    invoke_without_command=True,  # for --version
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=(
        "Rebuild SmolVLM's training data, and train a compact vision-language model on it.\n\n"
        "Example: smolmix run model/recipes/demo.yaml"
    ),
)


def _versions(verbose: bool) -> list[str]:
    """Return smolmix's version and, if verbose, those of its libraries; imports none of them."""
    from importlib import metadata

    lines = [f"smolmix {__version__}"]
    for library in ("torch", "transformers", "ray") if verbose else ():
        try:
            lines.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{library} is not installed")
    return lines


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="With --version: also of torch, transformers, Ray."),
    ] = False,
) -> None:
    set_verbosity()
    if version:
        print("\n".join(_versions(verbose)))
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


for _module in _MODULES:
    importlib.import_module(f"smolmix.cli.{_module}").add(app)


def _ignore_current_folder() -> None:
    """Import no module from the user's folder, whose files may have the names of libraries.

    Python searches it where `PYTHONPATH` has an empty entry, and for `python -m`.
    """
    os.environ.setdefault("PYTHONSAFEPATH", "1")  # the processes that this one starts
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was deleted
        return
    if here != Path(__file__).resolve().parents[2]:  # where smolmix itself is imported from
        sys.path[:] = [p for p in sys.path if Path(p).resolve() != here]


def main() -> None:
    """Run the command line; a `SmolmixError` becomes one line and its exit code."""
    _ignore_current_folder()
    # Read when torch loads. Threads that spin while they wait make training ten times slower
    # next to another process (measured: 121 tokens/s instead of over 1,000).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except SmolmixError as error:
        if VERBOSITY.verbose:
            traceback.print_exc()
        print(f"smolmix: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        reason = machine_error(error)
        if reason is None:
            raise
        print(f"smolmix: {reason}; {_KEPT}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as stop:
        if stop.code == _INTERRUPTED:  # typer has caught Ctrl-C, and printed nothing
            print(f"smolmix: interrupted; {_KEPT}", file=sys.stderr)
        raise
