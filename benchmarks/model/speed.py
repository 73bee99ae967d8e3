"""Supervised tokens per second and peak memory: our packed step and transformers' Trainer.

Both have the same weights, the same real samples (the demo mixture's first sequences), the same
optimizer (AdamW), fp32 and one process. The peer is what people usually run: transformers' Trainer,
one sample a row, a collator that pads ids and tiles to the longest of the batch, transformers' own
loss. Both take the samples of one sequence a step. Where packing put samples of similar length
together, so are the peer's batches, to its advantage.

Example: smolmix run demo, then: python -m benchmarks.model.speed workspace
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.model.trainer import Row, trainer

from smolmix.model.arch.build import build
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import Rates, Recipe, load_recipe
from smolmix.model.train.train import StageData, train
from smolmix.model.train.training_log import peak_memory_bytes
from smolmix.tokenize.loader import SequenceDataset
from smolmix.workspace import Workspace


def open_dataset(workspace: str, recipe: Recipe) -> SequenceDataset:
    """Return the sequences of the recipe's last stage, the complete demo mixture."""
    place, stage = Workspace(workspace), recipe.stages[-1]
    name = f"{recipe.full_profile().name}-{stage.sequence_tokens}"
    return SequenceDataset(place, place.child("sequences", stage.mixture, name))


def documents(sequence: Mapping[str, Any], image_id: int, per_tile: int) -> Iterator[Row]:
    """Yield (ids, labels, tiles) of each document of a packed sequence."""
    tile = 0
    bounds = sequence["boundaries"].tolist()
    for a, b in itertools.pairwise(bounds):
        ids = sequence["input_ids"][a:b]
        tiles = int((ids == image_id).sum()) // per_tile
        yield ids, sequence["labels"][a:b], sequence["tiles"][tile : tile + tiles]
        tile += tiles


class Taken:
    """The first sequences of a dataset, repeated without end."""

    def __init__(self, dataset: SequenceDataset, count: int):
        """Take `count` sequences."""
        self.dataset, self.count, self.next = dataset, count, 0

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while True:
            self.next += 1
            yield self.dataset[(self.next - 1) % self.count]

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"next": self.next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a position."""
        self.next = state["next"]


def ours(workspace: str, steps: int, warm: int) -> dict[str, float | None]:
    """Measure our loop with one sequence a step and AdamW."""
    recipe = load_recipe("demo")
    stage = recipe.stages[-1].model_copy(
        update={
            "steps": steps + warm,
            "epochs": None,
            "optimizer": "adamw",
            "learning_rate": Rates(vision=1e-4, connector=1e-4, lm=1e-4),  # nothing frozen
            "sequences_per_step": 1,
            "tokens_per_step": None,
        }
    )
    recipe = recipe.model_copy(update={"stages": (stage,)})
    dataset = open_dataset(workspace, recipe)

    def data(_: Any, group: ProcessGroup) -> StageData:
        return StageData(source=Taken(dataset, steps + warm), sequences=steps + warm, digest="b")

    with tempfile.TemporaryDirectory() as folder:
        train(recipe, Path(folder), data, tensorboard=False)
        lines = [json.loads(x) for x in (Path(folder) / "timing.jsonl").read_text().splitlines()]
        facts = [json.loads(x) for x in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    seconds = sum(x["seconds"] for x in lines[warm:])
    return {
        "seconds": seconds,
        "supervised": sum(x["supervised"] for x in facts[warm:]),
        "tokens": sum(x["tokens"] for x in facts[warm:]),
        "data_wait": sum(x["data_wait"] * x["seconds"] for x in lines[warm:]) / seconds,
        "peak_gb": peak_memory_bytes() / 1e9,
    }


def peer(workspace: str, steps: int, warm: int) -> dict[str, float | None]:
    """Measure transformers' Trainer on the same documents, with as many rows a step as we pack."""
    recipe = load_recipe("demo")
    dataset = open_dataset(workspace, recipe)
    model = build(ModelSpec(preset="nano"))
    each = [
        list(documents(dataset[i], model.config.image_token_id, 4)) for i in range(steps + warm)
    ]
    times, batch = trainer(model, each, use_cpu=True)
    rows = [row for one in each for row in one]
    used = rows[batch * warm : batch * (steps + warm)]
    return {
        "seconds": times[-1] - times[warm - 1],
        "supervised": sum(int((r[1][1:] != -100).sum()) for r in used),
        "tokens": sum(len(r[0]) for r in used),
        "data_wait": None,
        "peak_gb": peak_memory_bytes() / 1e9,
    }


def main() -> None:
    """Run each in a process of its own, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm", type=int, default=3)
    parser.add_argument("--only", choices=("ours", "peer"))
    args = parser.parse_args()
    if args.only:
        side = ours if args.only == "ours" else peer
        print(json.dumps(side(args.workspace, args.steps, args.warm)))
        return
    print(f"{'':<6} {'supervised/s':>12} {'tokens/s':>10} {'waiting %':>9} {'peak GB':>8}")
    found = {}
    for side_name in ("ours", "peer"):
        command = [
            sys.executable, "-m", "benchmarks.model.speed", args.workspace, "--only", side_name,
            "--steps", str(args.steps), "--warm", str(args.warm),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[side_name] = json.loads(done.stdout.strip().splitlines()[-1])
        one = found[side_name]
        one["supervised_per_s"] = one["supervised"] / one["seconds"]
        waiting = "-" if one["data_wait"] is None else f"{100 * one['data_wait']:.2f}"
        print(
            f"{side_name:<6} {one['supervised_per_s']:>12.1f} "
            f"{one['tokens'] / one['seconds']:>10.0f} {waiting:>9} {one['peak_gb']:>8.2f}",
            flush=True,
        )
    ratio = found["ours"]["supervised_per_s"] / found["peer"]["supervised_per_s"]
    print(f"supervised tokens/s, ours ÷ peer: {ratio:.2f}")


if __name__ == "__main__":
    main()
