"""Verbs of the `model` room: train, evaluate, generate, build."""

from typing import TYPE_CHECKING, Annotated

import typer

from smolmix.cli.options import (
    DEFAULT_WORKSPACE,
    JsonOption,
    RayAddressOption,
    RecipeArgument,
    WorkspaceOption,
)

if TYPE_CHECKING:
    from smolmix.model.opened import Opened


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    app.command(short_help="Build a model to train from.")(build)
    app.command(short_help="Train a recipe's stages.")(train)
    app.command(short_help="Score a checkpoint on what is held out.")(evaluate)
    app.command(short_help="Ask a checkpoint a question.")(generate)


def train(
    recipe: RecipeArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Training processes; more than 1 uses Ray.")
    ] = 1,
    ray_address: RayAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a recipe's stages; killed anywhere, the same call goes on bit for bit.

    Example: smolmix train demo
    """
    from smolmix.cli.options import open_workspace, print_json
    from smolmix.engine import locked
    from smolmix.model.progress import Watcher
    from smolmix.model.recipe import load_recipe
    from smolmix.model.train import local_run

    loaded = load_recipe(recipe)
    place = open_workspace(workspace, writable=True)
    run = local_run(place.run(loaded.name))
    with locked(place.run(loaded.name)):
        if workers > 1 or ray_address is not None:
            from smolmix.model.distributed import train_on_ray

            done = train_on_ray(loaded, place, workers=workers, ray_address=ray_address)
        else:
            from smolmix.model.data import open_stages
            from smolmix.model.train import train as train_here

            with Watcher() as watch:
                done = train_here(loaded, run, open_stages(place, loaded), watch=watch)
    result = {
        "run": loaded.name,
        "checkpoint": str(done.folder),
        "steps": done.steps,
        "resumed_from": done.resumed_from,
        "already_whole": done.already_whole,
        "seconds": round(done.seconds, 1),
    }
    if as_json:
        print_json(result)
    else:
        what = "was trained before" if done.already_whole else f"trained in {done.seconds:.0f} s"
        print(f"{loaded.name}: {done.steps} steps, {what}; {done.folder}")


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A run's name, a folder, or a hub id.")],
    corpora: Annotated[list[str], typer.Argument(help="Corpora with held-out samples.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    limit: Annotated[int | None, typer.Option(min=1, help="Answer this many questions.")] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="exact_match, relaxed, anls, letter, overlap, or auto by category; "
            "several with commas between, the first one leads."
        ),
    ] = "exact_match",
    against: Annotated[
        str | None, typer.Option(help="Another checkpoint, compared on the same questions.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Extracts answers: a URL that /chat/completions stands below (its key in "
            "SMOLMIX_JUDGE_KEY), or the folder of a chat model."
        ),
    ] = None,
    judge_model: Annotated[
        str | None, typer.Option(help="The judge's name at its URL; none where it serves one.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 16,
    batch: Annotated[int, typer.Option(min=1, help="Questions answered at once, at most.")] = 96,
    batch_tiles: Annotated[
        int | None, typer.Option(min=1, help="Tiles at once, padding counted; none: 256 MiB.")
    ] = None,
    profile: Annotated[
        str | None, typer.Option(help="Pixel preset, for a checkpoint that is not smolmix's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer held-out questions and score them, beside answering from the question alone.

    Every prediction is kept beside the run, in evaluation/CORPUS.parquet. Intervals draw whole
    media, since questions on one image are not independent.

    Example: smolmix evaluate demo easy-vqa --metric auto --against baseline
    """
    from smolmix.cli.evaluation import print_comparison, print_scores
    from smolmix.cli.options import open_workspace, print_json
    from smolmix.model.answering import Batching
    from smolmix.model.evaluation import compare_on, evaluate_corpus
    from smolmix.model.judge import open_judge
    from smolmix.model.scoring import metric_names
    from smolmix.storage import stage_record

    metric_names(metric)
    place = open_workspace(workspace, writable=True)
    for corpus in corpora:
        stage_record(place.curated(corpus))  # before a model is loaded
    opened = _opened(checkpoint, workspace, profile)
    other = _opened(against, workspace, profile) if against is not None else None
    extractor = open_judge(judge, judge_model) if judge is not None else None
    results = []
    for corpus in corpora:
        for one in (opened, other):
            if one is None:
                continue
            result = evaluate_corpus(
                one, place, corpus, limit=limit, metric=metric, max_new_tokens=max_new_tokens,
                batching=Batching(prompts=batch, tiles=batch_tiles), judge=extractor,
            )  # fmt: skip
            results.append(result)
            if not as_json:
                print_scores(result)
        if other is not None:
            results.append(compare_on(opened, other, corpus))
            if not as_json:
                print_comparison(results[-1])
    if as_json:
        print_json(results)


def generate(
    checkpoint: Annotated[str, typer.Argument(help="A run's name, a folder, or a hub id.")],
    prompt: Annotated[str, typer.Argument(help="What to ask.")],
    image: Annotated[list[str] | None, typer.Option(help="An image file; may be repeated.")] = None,
    video: Annotated[str | None, typer.Option(help="A video file.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 128,
    temperature: Annotated[
        float, typer.Option(min=0, help="0: the likeliest token each time.")
    ] = 0.0,
    profile: Annotated[
        str | None, typer.Option(help="Pixel preset, for a checkpoint that is not smolmix's.")
    ] = None,
) -> None:
    """Ask a checkpoint about images, a video, or nothing but words; the answer streams.

    Example: smolmix generate demo "what shape is in the image?" --image circle.png
    """
    from smolmix.model.ask import ask

    opened = _opened(checkpoint, workspace, profile)
    for piece in ask(
        opened, prompt, images=image or [], video=video,
        max_new_tokens=max_new_tokens, temperature=temperature,
    ):  # fmt: skip
        print(piece, end="", flush=True)
    print()


def build(
    out: Annotated[str | None, typer.Argument(help="Where to write; none: only show.")] = None,
    preset: Annotated[str | None, typer.Option(help="nano, 256m, 500m or 2.2b.")] = None,
    vision: Annotated[str | None, typer.Option(help="Vision tower, by name.")] = None,
    lm: Annotated[str | None, typer.Option(help="Language model, by name.")] = None,
    shuffle: Annotated[int | None, typer.Option(help="Pixel shuffle: 2, 3 or 4.")] = None,
    vision_weights: Annotated[str | None, typer.Option(help="SigLIP folder or hub id.")] = None,
    lm_weights: Annotated[
        str | None, typer.Option(help="SmolLM2 folder or hub id, or `gguf`.")
    ] = None,
    position_tokens: Annotated[str, typer.Option(help="learned or string.")] = "learned",
    frame_average: Annotated[int, typer.Option(min=1, help="Frames averaged; ablation.")] = 1,
    seed: Annotated[int, typer.Option(help="Of what is initialised at random.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Build a model to train from; without a folder, show every pairing of the paper's towers.

    Example: smolmix build first-256m --preset 256m --lm-weights gguf
    """
    from smolmix.cli.options import print_json
    from smolmix.model.pairings import build_to, pairing_table

    if out is None:
        rows = pairing_table()
        if as_json:
            print_json(rows)
            return
        print(f"{'vision':24} {'language model':16} r {'parameters':>14} vision% tokens/image why")
        for row in rows:
            print(
                f"{row['vision']:24} {row['lm']:16} {row['shuffle']} {row['parameters']:>14,} "
                f"{100 * row['vision_share']:>6.1f} {row['tokens_per_image']:>12} {row['note']}"
            )
        return
    made = build_to(
        out, preset=preset, vision=vision, lm=lm, shuffle=shuffle,
        vision_weights=vision_weights, lm_weights=lm_weights,
        position_tokens=position_tokens, frame_average=frame_average, seed=seed,
    )  # fmt: skip
    if as_json:
        print_json(made)
    else:
        print(f"{made['folder']}: {made['parameters']:,} parameters")


def _opened(checkpoint: str, workspace: str, profile: str | None) -> "Opened":
    from smolmix.cli.options import open_workspace
    from smolmix.model.opened import open_checkpoint

    return open_checkpoint(checkpoint, open_workspace(workspace), profile)
