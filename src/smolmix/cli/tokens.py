"""Verbs of the `tokens` room: tokenize, export and verify."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from smolmix.cli.options import (
    DEFAULT_WORKERS,
    DEFAULT_WORKSPACE,
    JsonOption,
    RayAddressOption,
    WorkersOption,
    WorkspaceOption,
    open_workspace,
    print_json,
)

if TYPE_CHECKING:
    from smolmix.pipelines.pretokenize import Tokenized
    from smolmix.storage import Folder, Workspace

ProfileOption = Annotated[
    str, typer.Option("--profile", "-p", help="Preset: nano, 256m, 500m or 2.2b.")
]
StyleOption = Annotated[
    str, typer.Option("--style", help="Chat style: inference, released or paper.")
]


def _profile(preset: str, style: str, codec: str, resize: str) -> Any:
    from dataclasses import replace
    from typing import get_args

    from smolmix.errors import UsageError, nearest
    from smolmix.profiles import Style, profile
    from smolmix.tokenize.codec import check

    styles = get_args(Style)
    if style not in styles:
        raise UsageError(f"--style {style}: known: {', '.join(styles)}{nearest(style, styles)}")
    if resize not in ("exact", "fast"):
        raise UsageError(f"--resize {resize}: exact or fast")
    found = profile(preset, style=style)  # type: ignore[arg-type]
    pixel = replace(found.pixel, codec=check(codec), resize=resize)  # type: ignore[arg-type]
    return replace(found, pixel=pixel)


def tokenize(
    mixture: Annotated[str, typer.Argument(help="A mixture that `mix build` has built.")],
    profile: ProfileOption = "256m",
    style: StyleOption = "inference",
    tokens: Annotated[int, typer.Option("--tokens", min=1, help="Tokens of a sequence.")] = 8192,
    tiles: Annotated[
        int | None,
        typer.Option(
            "--tiles", min=0, help="Most tiles in a sequence; 0: no bound; default: evens them out."
        ),
    ] = None,
    codec: Annotated[
        str,
        typer.Option(
            "--codec",
            help="How tiles are stored: source (an image's own bytes, the smallest, without "
            "loss), raw, png or jpeg:Q.",
        ),
    ] = "source",
    resize: Annotated[
        str, typer.Option("--resize", help="exact (as released, bit for bit) or fast.")
    ] = "exact",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: WorkersOption = DEFAULT_WORKERS,
    ray_address: RayAddressOption = None,
    json_: JsonOption = False,
) -> None:
    """Tokenize a mixture: token ids, tiles and packed sequences.

    Only what no earlier run has made is made.

    Example: smolmix tokenize demo --profile nano --tokens 1024
    """
    from smolmix.pipelines.pretokenize import tokenize_mixture

    made = tokenize_mixture(
        open_workspace(workspace, writable=True),
        mixture,
        _profile(profile, style, codec, resize),
        tokens,
        tiles,
        workers=workers,
        ray_address=ray_address,
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
        str, typer.Argument(help="Folder that `tokenize` printed: sequences/<mixture>/<profile>.")
    ],
    out: Annotated[str, typer.Option("--out", "-o", help="Local folder to write into.")],
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

    Example: smolmix export sequences/demo/nano-inference-…-1024 --to webdataset --out tars
    """
    from pathlib import Path

    from smolmix.pipelines.token_export import export as write

    here = open_workspace(workspace)
    made = write(here, _inside(here, plan), Path(out), form, codec=codec)  # type: ignore[arg-type]
    if json_:
        print_json({"files": made.files, "sequences": made.sequences})
    else:
        print(f"{made.sequences:,} sequences in {len(made.files)} files under {out}")


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
    from smolmix.storage import verify_files

    here = open_workspace(workspace)
    folder = _inside(here, path)
    result: dict[str, object]
    if folder.exists("plan.json"):
        from smolmix.pipelines.token_checks import verify as verify_tokens

        done = verify_tokens(folder, here, sample=sample)
        result = {"files": done.files, "samples_derived_anew": done.checked_rows}
    elif folder.exists("lock.json"):
        from smolmix.mixtures.checking import verify_mixture

        result = {**verify_mixture(folder, here)}
    else:
        result = {"files": verify_files(folder)}
    if json_:
        print_json(result)
    else:
        print(", ".join(f"{v:,} {k.replace('_', ' ')}" for k, v in result.items()) + ": right")


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command()(tokenize)
    app.command()(export)
    app.command()(verify)
