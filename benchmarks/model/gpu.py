"""One GPU: our training loop and transformers' Trainer: tokens/s, model TFLOP/s, peak memory.

Sequences of 8,192 tokens are synthetic: documents in the shares of the released mixture (images
34 %, several images 12 %, text 20 %, video 33 %), images of common sizes split as the preset splits
them, clips of 8 to 50 frames; weights and pixels are random. Ours is the complete loop (`train`):
prefetching, packed step, clipping, AdamW, metrics. The peer is Trainer with bf16, its padding
collator and SDPA on the same documents, as many rows a step as a sequence has documents. Each point
runs in a process of its own.

Example: python -m benchmarks.model.gpu --preset 256m --out figures.jsonl
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.model.trainer import Row, trainer

from smolmix.cost import image_grid
from smolmix.model.arch.build import build
from smolmix.model.arch.presets import IMAGE_ID, PRESETS
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.arch.varlen_attention import Documents, attention
from smolmix.model.train.process_group import ProcessGroup
from smolmix.model.train.recipe import Recipe
from smolmix.model.train.step import Packed, PackedModel, compile_layers, pack
from smolmix.model.train.train import StageData, train
from smolmix.profiles import PixelProfile, profile

TOKENS = 8192
_SIZES = ((640, 480), (1024, 768), (800, 600), (512, 512), (336, 336), (1240, 1754), (960, 540))
_KINDS = ("image", "multi-image", "text", "video")
_SHARES = (0.34, 0.13, 0.20, 0.33)


def row(rng: np.random.Generator, pixel: PixelProfile) -> Row:
    """Return the ids, labels and tiles of one document."""
    kind = rng.choice(_KINDS, p=_SHARES)
    tiles, text, said = 0, int(rng.integers(30, 90)), int(rng.integers(5, 60))
    if kind == "image":
        grid = image_grid(*_SIZES[rng.integers(len(_SIZES))], pixel)
        tiles = grid.tiles
    elif kind == "multi-image":
        tiles = int(rng.integers(2, 6))
    elif kind == "video":
        tiles, text = int(rng.integers(8, 51)), text + 10
    else:
        text, said = 0, int(rng.integers(100, 900))
    shown = np.full(tiles * pixel.tokens_per_tile, IMAGE_ID)
    ids = np.concatenate([[1], shown, rng.integers(3, 40_000, text + said)]).astype(np.int64)
    labels = np.full(len(ids), -100)
    labels[-said:] = ids[-said:]
    edge = pixel.tile_px
    return torch.from_numpy(ids), torch.from_numpy(labels), torch.zeros(tiles, 3, edge, edge).byte()


def sequences(count: int, pixel: PixelProfile) -> list[list[Row]]:
    """Return the documents of `count` sequences, each filled in order."""
    rng = np.random.default_rng(0)
    made: list[list[Row]] = [[]]
    while len(made) <= count:
        one = row(rng, pixel)
        if sum(len(r[0]) for r in made[-1]) + len(one[0]) > TOKENS:
            made.append([])
        made[-1].append(one)
    return made[:count]


class Made:
    """Sequences as the loader yields them, with random pixels."""

    def __init__(self, rows: list[list[Row]]):
        """Concatenate the documents."""
        self.next = 0
        self.sequences = [
            {
                "input_ids": torch.cat([r[0] for r in s]),
                "labels": torch.cat([r[1] for r in s]),
                "position_ids": torch.cat([torch.arange(len(r[0])) for r in s]),
                "tiles": torch.cat([r[2] for r in s]).random_(0, 256).pin_memory(),
                "modalities": ["image"] * len(s),
                "corpora": ["made"] * len(s),
            }
            for s in rows
        ]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while True:
            self.next += 1
            yield self.sequences[(self.next - 1) % len(self.sequences)]

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"next": self.next}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a position."""
        self.next = state["next"]


def tera_flops(preset: str, rows: list[Row]) -> float:
    """Return the FLOPs of a step on one sequence, forward and backward, without recomputation."""
    sizes = PRESETS[preset]
    vision, lm = sizes.vision, sizes.lm
    patches = (vision.image_px // vision.patch_px) ** 2
    tiles = sum(len(r[2]) for r in rows)
    tokens = sum(len(r[0]) for r in rows)
    said = sum(int((r[1] != -100).sum()) for r in rows)
    tower = vision.layers * (4 * vision.hidden**2 + 2 * vision.hidden * vision.mlp)
    seen = 2 * tower * patches + vision.layers * 4 * patches**2 * vision.hidden
    width = lm.hidden // lm.heads
    decoder = lm.layers * (
        2 * lm.hidden**2 + 2 * lm.hidden * lm.kv_heads * width + 3 * lm.hidden * lm.mlp
    )
    attended = sum(len(r[0]) ** 2 for r in rows) * 2 * lm.hidden * lm.layers
    forward = tiles * seen + 2 * decoder * tokens + attended + 2 * lm.hidden * 49_280 * said
    return 3 * forward / 1e12


def recipe(preset: str, steps: int, **stage: Any) -> Recipe:
    """Return the recipe of a measured run."""
    return Recipe.model_validate(
        {
            "name": "gpu",
            "profile": {"preset": preset, "style": "released"},
            "model": {"preset": preset},
            "stages": [
                {
                    "name": "one", "mixture": "made", "sequence_tokens": TOKENS, "steps": steps,
                    "sequences_per_step": 1, "checkpoint_every": 100_000,
                    "learning_rate": {"vision": 1e-6, "connector": 1e-6, "lm": 1e-6}, **stage,
                }
            ],
        }
    )  # fmt: skip


def ours(preset: str, steps: int, warm: int, *, gradient_checkpointing: bool) -> dict[str, Any]:
    """Measure our loop with one sequence a step."""
    rows = sequences(8, profile(preset, style="released").pixel)
    source = Made(rows)

    def data(_: Any, __: ProcessGroup) -> StageData:
        return StageData(source=source, sequences=len(rows), digest="made")

    with tempfile.TemporaryDirectory() as folder:
        one = recipe(preset, steps + warm, gradient_checkpointing=gradient_checkpointing)
        train(one, Path(folder), data, tensorboard=False)
        lines = [json.loads(x) for x in (Path(folder) / "timing.jsonl").read_text().splitlines()]
    used = [rows[i % len(rows)] for i in range(warm, warm + steps)]
    return figures(preset, [x["seconds"] for x in lines[warm:]], used) | {
        "waiting": statistics.mean(x["data_wait"] for x in lines[warm:]),
        "first_step_s": lines[0]["seconds"],
    }


def peer(preset: str, steps: int, warm: int, *, gradient_checkpointing: bool) -> dict[str, Any]:
    """Measure Trainer on the same documents."""
    rows = sequences(8, profile(preset, style="released").pixel)
    for one in rows:
        for document in one:
            document[2].random_(0, 256)
    used = [rows[i % len(rows)] for i in range(warm + steps)]
    model = build(ModelSpec(preset=preset))
    times, batch = trainer(model, used, bf16=True, gradient_checkpointing=gradient_checkpointing)
    seconds = [b - a for a, b in zip(times[warm - 1 :], times[warm:], strict=False)]
    flat = [r for s in used for r in s]
    return figures(
        preset, seconds, [flat[i * batch : (i + 1) * batch] for i in range(warm, warm + steps)]
    )


def figures(preset: str, seconds: list[float], used: list[list[Row]]) -> dict[str, Any]:
    """Return the numbers to report for measured steps."""
    total = sum(seconds)
    return {
        "ms": 1000 * statistics.median(seconds),
        "tokens_per_s": sum(len(r[0]) for s in used for r in s) / total,
        "tiles_per_s": sum(len(r[2]) for s in used for r in s) / total,
        "tflops": sum(tera_flops(preset, s) for s in used) / total,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        "reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
    }


def attentions(**_: Any) -> dict[str, Any]:
    """Return ms, forward and backward, of one layer's attention, 9 heads on 3, 64 wide."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention
    from torch.nn.functional import scaled_dot_product_attention

    lengths = [len(r[0]) for r in sequences(1, profile("256m", style="released").pixel)[0]]
    tokens = sum(lengths)
    q, k, v = (
        torch.randn(1, n, tokens, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        for n in (9, 3, 3)
    )
    plan = Documents.of_lengths(lengths, "cuda")
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).cuda()
    at = torch.arange(tokens, device="cuda")
    dense = ((owner[:, None] == owner) & (at[:, None] >= at))[None, None]

    def sees(_b: Any, _h: Any, i: Any, j: Any) -> Any:
        return (i >= j) & (owner[i] == owner[j])

    block = create_block_mask(sees, None, None, tokens, tokens, device="cuda")
    flex = torch.compile(flex_attention)
    module = torch.nn.Identity()
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: attention(module, q, k, v, None, documents=plan)[0],
        "flex, compiled": lambda: flex(q, k, v, block_mask=block, enable_gqa=True),
        "dense mask": lambda: scaled_dot_product_attention(
            q, k, v, attn_mask=dense, enable_gqa=True
        ),
    }
    return {"documents": len(lengths), "tokens": tokens} | {n: _ms(w) for n, w in ways.items()}


def _ms(way: Callable[[], Any]) -> float:
    times: list[float] = []
    event: Any = torch.cuda.Event  # torch leaves it untyped
    for _ in range(25):
        start, end = event(enable_timing=True), event(enable_timing=True)
        start.record()
        torch.autograd.backward(way().float().sum())
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times[5:])


def compiled(preset: str, **_: Any) -> dict[str, Any]:
    """Return ms, forward and backward of the packed step, and memory, layers compiled and not."""
    made = Made(sequences(8, profile(preset, style="released").pixel)).sequences
    model = build(ModelSpec(preset=preset)).to("cuda").train()
    step, drawn = PackedModel(model), [pack(s, "cuda") for s in made]

    def run(one: Packed) -> None:
        with torch.autocast("cuda", torch.bfloat16):
            losses = step(one)
        (losses.sum() / 100).backward()
        for parameter in model.parameters():
            parameter.grad = None

    def measured() -> dict[str, float]:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        times = []
        for one in drawn * 3:
            torch.cuda.synchronize()
            start = time.perf_counter()
            run(one)
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        return {
            "ms": 1000 * statistics.median(times[8:]),
            "peak_gb": torch.cuda.max_memory_allocated() / 1e9,
        }

    plain = measured()
    compile_layers(model)
    start = time.perf_counter()
    for one in drawn[:3]:
        run(one)
    return {"plain": plain, "compiling_s": time.perf_counter() - start, "compiled": measured()}


_SIDES: dict[str, Callable[..., dict[str, Any]]] = {
    "ours": ours,
    "peer": peer,
    "attentions": attentions,
    "compiled": compiled,
}


def main() -> None:
    """Run the chosen points, each in its own process, and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="256m")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--warm", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("gpu.jsonl"))
    parser.add_argument("--only", help="one point, as JSON: side, and the stage's keys")
    args = parser.parse_args()
    if args.only:
        point = json.loads(args.only)
        side = _SIDES[point.pop("side")]
        found = side(preset=args.preset, steps=args.steps, warm=args.warm, **point)
        print(json.dumps(found))
        return
    points: list[dict[str, Any]] = [{"side": "attentions"}, {"side": "compiled"}]
    points += [
        {"side": side, "gradient_checkpointing": c}
        for c in (False, True)
        for side in ("ours", "peer")
    ]
    print(torch.cuda.get_device_name(), f"torch {torch.__version__}", flush=True)
    for point in points:
        measure(point, args)


def measure(point: dict[str, Any], args: argparse.Namespace) -> None:
    """Run one point in a process of its own; print and append its numbers."""
    command = [
        sys.executable, "-m", "benchmarks.model.gpu", "--preset", args.preset,
        "--steps", str(args.steps), "--warm", str(args.warm), "--only", json.dumps(point),
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        found = {"failed": done.stderr.strip().splitlines()[-1][:300]}
    else:
        found = json.loads(done.stdout.strip().splitlines()[-1])
    line = json.dumps({"preset": args.preset, **point, **found})
    print(f"{time.perf_counter() - start:5.0f} s  {line}", flush=True)
    with args.out.open("a") as out:
        out.write(line + "\n")


if __name__ == "__main__":
    main()
