"""Verbs of the `model` room: train, evaluate, generate, build."""

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smolmix.cli.options import (
    DEFAULT_WORKSPACE,
    VERBOSITY,
    JsonOption,
    ProfileOption,
    RayAddressOption,
    RecipeArgument,
    WorkspaceOption,
    add_verb,
    open_workspace,
    print_json,
)

if TYPE_CHECKING:
    from smolmix.model.eval.load import Opened


def add(app: typer.Typer) -> None:
    """Register the verbs."""
    add_verb(app, build, short_help="Build a model to start training from.")
    add_verb(app, train, short_help="Train the stages of a recipe.")
    add_verb(app, evaluate, short_help="Score a checkpoint on held-out questions.")
    add_verb(app, generate, short_help="Ask a checkpoint a question.")


def train(
    recipe: RecipeArgument,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    processes: Annotated[
        int, typer.Option("--processes", min=1, help="Training processes; more than 1 uses Ray.")
    ] = 1,
    ray_address: RayAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train the stages of a recipe; the same command resumes a killed run bit for bit.

    Example: smolmix train demo
    """
    from smolmix.model.train.recipe import load_recipe

    loaded = load_recipe(recipe)  # before torch is imported: a mistake is answered at once

    from smolmix.engine.lock import locked
    from smolmix.model.train.progress import Watcher
    from smolmix.model.train.run_record import local_run

    place = open_workspace(workspace, writable=True)
    run = local_run(place.run(loaded.name))
    with locked(place.run(loaded.name)):
        if processes > 1 or ray_address is not None:
            from smolmix.model.train.distributed import train_on_ray

            done = train_on_ray(loaded, place, workers=processes, ray_address=ray_address)
        else:
            from smolmix.model.train.data import open_stages
            from smolmix.model.train.train import train as train_here

            watcher = contextlib.nullcontext(_unwatched) if VERBOSITY.quiet else Watcher()
            with watcher as watch:
                done = train_here(loaded, run, open_stages(place, loaded), watch=watch)
    result = {
        "run": loaded.name,
        "checkpoint": str(done.folder),
        "steps": done.steps,
        "resumed_from": done.resumed_from,
        "already_complete": done.already_complete,
        "seconds": round(done.seconds, 1),
    }
    if as_json:
        print_json(result)
    else:
        what = "already trained" if done.already_complete else f"trained in {done.seconds:.0f} s"
        print(f"{loaded.name}: {done.steps} steps, {what}; {done.folder}")


def _unwatched(_stage: object, _progress: object) -> None:
    """Show nothing after a step."""


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A run's name, a folder, or a hub id.")],
    corpora: Annotated[list[str], typer.Argument(help="Curated corpora with held-out samples.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    questions: Annotated[
        int | None, typer.Option("--questions", min=1, help="Answer at most this many questions.")
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            help="exact_match, relaxed_accuracy, anls, multiple_choice, rouge_l, or auto (by "
            "category); separate several by commas, the first is the primary metric."
        ),
    ] = "exact_match",
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Another checkpoint, compared on the same questions."),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="Let a chat model extract the answers: the URL of an OpenAI-compatible server "
            "(its key in SMOLMIX_JUDGE_KEY), or the folder of a model."
        ),
    ] = None,
    judge_model: Annotated[
        str | None,
        typer.Option(help="The model to use at the judge's URL, where it serves several."),
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Maximum number of tokens in an answer.")
    ] = 16,
    batch: Annotated[int, typer.Option(min=1, help="Most questions answered at once.")] = 96,
    batch_tiles: Annotated[
        int | None,
        typer.Option(min=1, help="Most tiles answered at once, with padding; default: 256 MiB."),
    ] = None,
    profile: ProfileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Answer held-out questions and score the answers.

    A baseline that sees only the question, not the media, is scored as well. Every prediction is
    stored in the run's folder, in evaluation/CORPUS.parquet. Confidence intervals resample by
    image or clip, because questions about the same image are not independent.

    Example: smolmix evaluate demo easy-vqa --metric auto --baseline previous
    """
    from smolmix.model.eval.generate import Batching
    from smolmix.model.eval.judge import open_judge
    from smolmix.model.eval.metrics import metric_names
    from smolmix.model.eval.run import compare_on, evaluate_corpus
    from smolmix.workspace import stage_record

    metric_names(metric)
    place = open_workspace(workspace, writable=True)
    for corpus in corpora:
        stage_record(place.curated(corpus))  # before a model is loaded
    opened = _opened(checkpoint, workspace, profile)
    other = _opened(baseline, workspace, profile) if baseline is not None else None
    extractor = open_judge(judge, judge_model) if judge is not None else None
    results = []
    for corpus in corpora:
        for one in (opened, other):
            if one is None:
                continue
            result = evaluate_corpus(
                one, place, corpus, limit=questions, metric=metric, max_new_tokens=max_new_tokens,
                batching=Batching(prompts=batch, tiles=batch_tiles), judge=extractor,
                quiet=VERBOSITY.quiet,
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
    prompt: Annotated[str, typer.Argument(help="The question.")],
    image: Annotated[
        list[str] | None, typer.Option(help="Show this image file; may be repeated.")
    ] = None,
    video: Annotated[str | None, typer.Option(help="Show this video file.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    max_new_tokens: Annotated[
        int, typer.Option(min=1, help="Maximum number of tokens in an answer.")
    ] = 128,
    temperature: Annotated[
        float, typer.Option(min=0, help="0 always takes the most probable token.")
    ] = 0.0,
    profile: ProfileOption = None,
) -> None:
    """Ask a checkpoint a question about images, a video, or text alone.

    Example: smolmix generate demo "what shape is in the image?" --image circle.png
    """
    from smolmix.model.eval.ask import ask

    opened = _opened(checkpoint, workspace, profile)
    for piece in ask(
        opened, prompt, images=image or [], video=video,
        max_new_tokens=max_new_tokens, temperature=temperature,
    ):  # fmt: skip
        print(piece, end="", flush=True)
    print()


def build(
    out: Annotated[
        str | None, typer.Argument(help="Folder to write; without one, show all models.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Model size: nano, 256m, 500m or 2.2b.")
    ] = None,
    vision: Annotated[str | None, typer.Option(help="Name of a vision tower.")] = None,
    lm: Annotated[str | None, typer.Option(help="Name of a language model.")] = None,
    shuffle: Annotated[int | None, typer.Option(help="Pixel shuffle ratio: 2, 3 or 4.")] = None,
    vision_weights: Annotated[str | None, typer.Option(help="SigLIP folder or hub id.")] = None,
    lm_weights: Annotated[
        str | None, typer.Option(help="SmolLM2 folder or hub id, or `gguf`.")
    ] = None,
    position_tokens: Annotated[
        str, typer.Option(help="Sub-image positions: learned or string.")
    ] = "learned",
    frame_average: Annotated[
        int, typer.Option(min=1, help="Average this many frames (for ablations).")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Build a model to start training from; without a folder, list the paper's models.

    Example: smolmix build first-256m --preset 256m --lm-weights gguf
    """
    from smolmix.model.arch.pairings import build_to, pairing_table

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
    from smolmix.model.eval.load import open_checkpoint

    return open_checkpoint(checkpoint, open_workspace(workspace), profile)


_GROUPS = (
    "by_category", "by_subset", "by_modality", "by_kind",
    "by_answer_length", "by_prompt_length", "by_duration",
)  # fmt: skip


def print_scores(result: dict[str, Any]) -> None:
    """Print an evaluation's scores in percent: the primary metric also by group."""
    print(
        f"{result['corpus']}, {result['checkpoint']}: {result['metric']} in %, with the 95 % "
        "confidence interval"
    )
    print(
        f"{'':28} {'questions':>9} {'media':>7} {'score':>7} {'interval':15} {'question alone':>14}"
    )
    print(_line("all", result["overall"]))
    for group in _GROUPS:
        if len(result[group]) > 1:
            print(f"  {group.replace('_', ' ')}")
            for name, score in result[group].items():
                print(_line(f"    {name or '(none)'}", score))
    for name, scores in result["metrics"].items():
        if name != result["metric"]:
            print(_line(name, scores["overall"]))
    judge = result.get("judge")
    if judge:
        if judge["overall"]:
            print(_line("judge", judge["overall"]))
        why = ", ".join(f"{n:,} {error}" for error, n in judge["errors"].items())
        print(f"  {judge['name']}: {judge['judged']:,} verdicts, {judge['failed']:,} failed {why}")


def print_comparison(found: dict[str, Any]) -> None:
    """Print a paired comparison, in percentage points."""
    print(
        f"{found['corpus']}: {found['first']} compared with {found['second']} on the same questions"
    )
    for name, one in found["metrics"].items():
        p = f"sign-flip p {one['sign_flip_p']:.2g}"
        if "mcnemar_p" in one:
            p += f", McNemar p {one['mcnemar_p']:.2g}"
        print(
            f"  {name:18} {100 * one['first']:.1f} - {100 * one['second']:.1f} = "
            f"{100 * one['difference']:+.1f}{_ends(one)}, {p}"
        )
        if "both" in one:
            print(
                f"  {'':18} both correct {one['both']:,}, only {found['first']} "
                f"{one['only_first']:,}, only {found['second']} {one['only_second']:,}, "
                f"neither {one['neither']:,}"
            )


def _line(name: str, score: dict[str, Any]) -> str:
    alone = "" if score["baseline"] is None else f"{100 * score['baseline']:.1f}"
    return (
        f"{name:28} {score['questions']:>9,} {score['clusters']:>7,} "
        f"{100 * score['score']:>7.1f} {_ends(score).strip():15} {alone:>14}"
    )


def _ends(score: dict[str, Any]) -> str:
    if score["low"] is None:
        return " (one image)"
    return f" ({100 * score['low']:.1f} to {100 * score['high']:.1f})"
