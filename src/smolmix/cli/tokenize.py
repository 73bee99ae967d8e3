"""Verbs of the `tokens` room: tokenize, export and verify."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    ProfileOption,
    RayAddressOption,
    WorkersOption,
    WorkspaceOption,
    add_verb,
    open_workspace,
    print_json,
    run_options,
)

if TYPE_CHECKING:
    from smolmix.pipelines.pretokenize.run import Tokenized
    from smolmix.profiles import Profile
    from smolmix.storage import Folder
    from smolmix.workspace import Workspace

StyleOption = Annotated[
    str | None,
    typer.Option(
        "--style", help="Chat template: inference, released or paper; default: as the spec says."
    ),
]


def _profile(
    workspace: "Workspace", mixture: str, preset: str | None, style: str | None, override: bool
) -> "Profile":
    """Return the profile of the mixture's spec, or another one where `override` allows it.

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
    wanted = spec.model_copy(
        update={k: v for k, v in (("preset", preset), ("style", style)) if v is not None}
    )
    if wanted != spec and not override:
        raise UsageError(
            f"mixture {mixture} was solved for the profile ({spec}); ({wanted}) was requested, "
            "under which token counts differ; omit --profile and --style, or write this profile in "
            "the spec and run `smolmix mix build` again, or add --override"
        )
    return wanted.profile()


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
    mixture: Annotated[str, typer.Argument(help="Name of a built mixture.")],
    profile: ProfileOption = None,
    style: StyleOption = None,
    override: Annotated[
        bool,
        typer.Option(
            "--override", help="Allow --profile and --style to differ from the mixture's spec."
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
            help="Most tiles in a sequence; 0: no limit; default: spread them evenly.",
        ),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            "--codec",
            help="How tiles are stored: source (the bytes of the original image: smallest and "
            "lossless), raw, png or jpeg:Q; default: as the spec says, or source.",
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            "--resize",
            help="exact (bit for bit as released) or fast; default: as the spec says, or exact.",
        ),
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    json_: JsonOption = False,
) -> None:
    """Tokenize a mixture: write token ids, tiles and packed sequences under its spec's profile.

    Token ids and tiles that exist already are used again.

    Example: smolmix tokenize demo --sequence-length 2048
    """
    here = open_workspace(workspace)
    found = _stored(_profile(here, mixture, profile, style, override), codec, resize)
    open_workspace(workspace, writable=True)

    from smolmix.pipelines.pretokenize.run import tokenize_mixture

    made = tokenize_mixture(
        here,
        mixture,
        found,
        sequence_length,
        max_tiles,
        options=run_options(workers, ray_address),
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
    print(f"{record.tokens:,} tokens, of which {record.supervised_tokens:,} are supervised")
    print(f"{record.tiles:,} tiles; a sequence has {record.tiles_p50} (median) or "
          f"{record.tiles_p99} (99th percentile) tiles")  # fmt: skip
    for reason, count in record.dropped.items():
        print(f"dropped {count:,}: {reason}")
    print(f"newly tokenized: {made.new_ids:,} samples, {made.new_tiles:,} images and clips")
    print(made.folder.url)


def export(
    plan: Annotated[
        str,
        typer.Argument(
            help="The folder that `tokenize` printed: sequences/MIXTURE/PROFILE-TOKENS."
        ),
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="Where to write.")],
    form: Annotated[
        str, typer.Option("--to", help="parquet (for `datasets`) or webdataset (tar files).")
    ] = "parquet",
    codec: Annotated[
        str, typer.Option("--codec", help="How tiles are stored: png (lossless) or jpeg:Q.")
    ] = "png",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Write packed sequences as WebDataset or Parquet files for other trainers.

    Example: smolmix export sequences/demo/nano-inference-d3c2bd8022c8-2048 --output parquet
    """
    from pathlib import Path

    from smolmix.pipelines.pretokenize.export import export as write

    here = open_workspace(workspace)
    # `form` is any text here; `export` refuses what it does not know.
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
        typer.Argument(
            help="A folder of the workspace: of a stage, a mixture or packed sequences."
        ),
    ],
    sample: Annotated[
        float,
        typer.Option(
            "--sample", min=0.0, max=1.0, help="Share of sequences to tokenize again and compare."
        ),
    ] = 0.01,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json_: JsonOption = False,
) -> None:
    """Check the digests and invariants of a stage's output; damaged files are rebuilt next time.

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
        result = {"files": done.files, "samples_tokenized_again": done.checked_rows}
    elif folder.exists("lock.json"):
        from smolmix.mixtures.built.verify import verify_mixture

        result = {**verify_mixture(folder, here)}
    else:
        result = {"files": verify_files(folder)}
    if json_:
        print_json(result)
    else:
        print(", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in result.items()) + ": no errors")


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    add_verb(app, tokenize, short_help="Write token ids, tiles and packed sequences.")
    add_verb(app, export, short_help="Write sequences for other trainers.")
    add_verb(app, verify, short_help="Check the files of a stage.")
