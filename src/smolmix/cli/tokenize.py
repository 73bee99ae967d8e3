"""Verbs of the `tokens` room: tokenize, export and verify."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    RayAddressOption,
    Verb,
    WorkersOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)

if TYPE_CHECKING:
    from smolmix.pipelines.pretokenize.run import Tokenized
    from smolmix.profiles import Profile
    from smolmix.storage import Folder
    from smolmix.workspace import Workspace

ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="Preset: nano, 256m, 500m or 2.2b; default: the profile of the mixture's spec.",
    ),
]
StyleOption = Annotated[
    str | None,
    typer.Option("--style", help="Chat style: inference, released or paper; default: the spec's."),
]


def _profile(
    workspace: "Workspace", mixture: str, preset: str | None, style: str | None, override: bool
) -> "Profile":
    """Return the profile of the mixture's spec; another one only where that is said.

    Raises:
        UsageError: a word is unknown, or names another profile and `override` is off.
        IncompleteError: the mixture is not built.
    """
    from typing import get_args

    from smolmix.errors import IncompleteError, UsageError, nearest
    from smolmix.mixtures.selection.lock import LOCK_FILE, read_lock
    from smolmix.profiles import ProfileChoice, Style, pixel_preset

    styles = get_args(Style)
    if style is not None and style not in styles:
        raise UsageError(f"--style {style}: known: {', '.join(styles)}{nearest(style, styles)}")
    if preset is not None:
        pixel_preset(preset)
    folder = workspace.mixture(mixture)
    if not folder.exists(LOCK_FILE):
        raise IncompleteError(
            f"{folder.url}: no {LOCK_FILE}; run `smolmix mix build` first{folder.instead()}"
        )
    spec = ProfileChoice.model_validate(read_lock(folder).spec.get("profile", {}))
    asked = spec.model_copy(
        update={k: v for k, v in (("preset", preset), ("style", style)) if v is not None}
    )
    if asked != spec and not override:
        raise UsageError(
            f"mixture {mixture} was solved for the profile ({spec}); asked for is ({asked}), whose "
            "counts differ: leave --profile and --style out, write the other profile in the spec "
            "and run `smolmix mix build` again, or add --override to tokenize its selection anyway"
        )
    return asked.profile()


def _stored(profile: "Profile", codec: str | None, resize: str | None) -> "Profile":
    """Return the profile with another way of storing and resizing tiles, where one is named."""
    from dataclasses import replace

    from smolmix.errors import UsageError
    from smolmix.tokenize.tiles.codec import check

    if resize not in (None, "exact", "fast"):
        raise UsageError(f"--resize {resize}: exact or fast")
    changes: dict[str, Any] = {"codec": codec and check(codec), "resize": resize}
    pixel = replace(profile.pixel, **{k: v for k, v in changes.items() if v is not None})
    return replace(profile, pixel=pixel)


def tokenize(
    mixture: Annotated[str, typer.Argument(help="A mixture that `mix build` has built.")],
    profile: ProfileOption = None,
    style: StyleOption = None,
    override: Annotated[
        bool,
        typer.Option(
            "--override", help="Let --profile and --style differ from the mixture's spec."
        ),
    ] = False,
    sequence_length: Annotated[
        int, typer.Option("--sequence-length", min=1, help="Tokens in a packed sequence.")
    ] = 8192,
    max_tiles: Annotated[
        int | None,
        typer.Option(
            "--max-tiles",
            min=0,
            help="Most tiles in a sequence; 0: no bound; default: evens them out.",
        ),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            help="How tiles are stored: source (an image's own bytes, the smallest, without "
            "loss), raw, png or jpeg:Q; default: the spec's, or source.",
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            "--resize",
            help="exact (as released, bit for bit) or fast; default: the spec's, or exact.",
        ),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    json_: JsonOption = False,
) -> None:
    """Tokenize a mixture: token ids, tiles and packed sequences, under the profile of its spec.

    Only what no earlier run has made is made.

    Example: smolmix tokenize demo --sequence-length 2048
    """
    from smolmix.engine.stage import RunOptions
    from smolmix.pipelines.pretokenize.run import tokenize_mixture

    here = open_workspace(workspace, writable=True)
    made = tokenize_mixture(
        here,
        mixture,
        _stored(_profile(here, mixture, profile, style, override), codec, resize),
        sequence_length,
        max_tiles,
        options=RunOptions(workers=workers, ray_address=ray_address),
    )
    if json_:
        print_json(summary(made))
    else:
        _show(made)


def summary(made: "Tokenized") -> dict[str, Any]:
    """Return what a machine wants to know of a tokenized mixture."""
    record = made.record
    return {
        "folder": made.folder.url,
        "sequences": record.sequences,
        "documents": record.documents,
        "tokens": record.tokens,
        "supervised_tokens": record.supervised_tokens,
        "tiles": record.tiles,
        "fill": record.fill,
        "tiles_per_sequence": {"p50": record.tiles_p50, "p99": record.tiles_p99},
        "dropped": record.dropped,
        "new_samples": made.new_ids,
        "new_media": made.new_tiles,
        "digest": record.digest,
    }


def _show(made: "Tokenized") -> None:
    record = made.record
    print(f"{record.documents:,} documents in {record.sequences:,} sequences of "
          f"{record.budget_tokens:,} tokens, {record.fill:.2%} full")  # fmt: skip
    print(f"{record.tokens:,} tokens, {record.supervised_tokens:,} of them supervised")
    print(f"{record.tiles:,} tiles; a sequence has {record.tiles_p50} (median), "
          f"{record.tiles_p99} (99th percentile)")  # fmt: skip
    for reason, count in record.dropped.items():
        print(f"dropped {count:,}: {reason}")
    print(f"new: {made.new_ids:,} samples, {made.new_tiles:,} images and clips")
    print(made.folder.url)


def export(
    plan: Annotated[
        str,
        typer.Argument(help="Folder that `tokenize` printed: sequences/MIXTURE/PROFILE-TOKENS."),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Local folder to write into.")],
    form: Annotated[
        str, typer.Option("--to", help="webdataset (tar) or parquet (for `datasets`).")
    ] = "parquet",
    codec: Annotated[
        str, typer.Option("--codec", help="Of the tiles: png (without loss) or jpeg:Q.")
    ] = "png",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Write packed sequences for those who train elsewhere.

    Example: smolmix export sequences/demo/nano-inference-d3c2bd8022c8-2048 --output parquet
    """
    from pathlib import Path

    from smolmix.pipelines.pretokenize.export import export as write

    here = open_workspace(workspace)
    made = write(here, _inside(here, plan), Path(output), form, codec=codec)  # type: ignore[arg-type]
    if json_:
        print_json({"files": made.files, "sequences": made.sequences})
    else:
        print(f"{made.sequences:,} sequences in {len(made.files)} files under {output}")


def _inside(workspace: "Workspace", plan: str) -> "Folder":
    """Return the folder of a plan, named from the workspace or as `tokenize` printed it."""
    import os

    if workspace.is_local and os.path.isdir(plan):  # as a path of this machine
        plan = os.path.relpath(os.path.realpath(plan), os.path.realpath(workspace.path))
    return workspace.child(plan.removeprefix(workspace.url).strip("/"))


def verify(
    path: Annotated[
        str,
        typer.Argument(help="A stage's folder in the workspace, a mixture's, or a packing plan's."),
    ],
    sample: Annotated[
        float, typer.Option("--sample", min=0.0, max=1.0, help="Share of sequences derived anew.")
    ] = 0.01,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Re-check digests and invariants of a stage's output; what is damaged is made anew next time.

    Example: smolmix verify curated/easy-vqa
    """
    from smolmix.tokenize.shards.packing_plan import is_plan
    from smolmix.workspace import verify_files

    here = open_workspace(workspace)
    folder = _inside(here, path)
    result: dict[str, object]
    if is_plan(folder):
        from smolmix.pipelines.pretokenize.verify import verify as verify_tokens

        done = verify_tokens(folder, here, sample=sample)
        result = {"files": done.files, "samples_derived_anew": done.checked_rows}
    elif folder.exists("lock.json"):
        from smolmix.mixtures.built.verify import verify_mixture

        result = {**verify_mixture(folder, here)}
    else:
        result = {"files": verify_files(folder)}
    if json_:
        print_json(result)
    else:
        print(", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in result.items()) + ": right")


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command(cls=Verb, short_help="Make ids, tiles and packed sequences.")(tokenize)
    app.command(cls=Verb, short_help="Write sequences for other trainers.")(export)
    app.command(short_help="Check a stage's output again.")(verify)
