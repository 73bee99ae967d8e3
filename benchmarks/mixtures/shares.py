"""How far the shares of a mixture are off: smolmix beside what others offer.

    python benchmarks/mixtures/shares.py

One pool: four modalities whose samples differ in tokens, 2 % of the text with declared chain of
thought. Targets: 14 % text, 33 % video, 12.3 % multi-image of tokens, at most 0.05 % of samples
with chain of thought. Each way is given its own best weights:

- weights of samples: what `datasets.interleave_datasets(probabilities=...)`, Ray Data's `mix` and a
  weighted blend (as Energon's `blend`, written out here) take; the target token shares divided by
  the mean tokens of a sample, as a careful user would compute them;
- smolmix: the spec.

Measured on the drawn samples at every prefix from 1,000 drawn on: the worst share of tokens, the
share of chain of thought, and how many samples are used twice while others are never drawn.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tests.support.synthetic import pool_of

from smolmix.mixtures.candidates.grouping import stratify
from smolmix.mixtures.solve.solve import arrange, solve_spec
from smolmix.mixtures.spec.load import parse_spec

TARGET = {"text": 0.14, "video": 0.33, "multi-image": 0.123, "image": 0.407}
ROWS = {"text": 60_000, "video": 40_000, "multi-image": 30_000, "image": 120_000}
MEAN = {"text": 800, "video": 3000, "multi-image": 2600, "image": 1000}
SAMPLES = 60_000
FIRST = 1_000
SEEDS = 5
BLOCK = 250  # rows of a Ray Data block: smaller blocks mix finer and cost more


@dataclass(frozen=True)
class Pool:
    """Tokens and chain of thought of every sample, by modality."""

    tokens: Mapping[str, NDArray[np.int64]]
    cot: Mapping[str, NDArray[np.bool_]]


def make_pool() -> Pool:
    """Return the pool that every way drawn from."""
    rng = np.random.default_rng(0)
    return Pool(
        tokens={m: rng.gamma(1.5, MEAN[m] / 1.5, n).astype(np.int64) + 1 for m, n in ROWS.items()},
        cot={m: rng.random(n) < (0.02 if m == "text" else 0.0) for m, n in ROWS.items()},
    )


def weights(pool: Pool) -> dict[str, float]:
    """Return probabilities of samples that give the target shares of tokens in expectation."""
    raw = {m: s / float(pool.tokens[m].mean()) for m, s in TARGET.items()}
    total = sum(raw.values())
    return {m: w / total for m, w in raw.items()}


Selected = list[tuple[str, int]]


def by_interleave(pool: Pool, seed: int) -> Selected:
    """Draw with `datasets.interleave_datasets`, each set shuffled first."""
    names = list(TARGET)
    sets = [
        datasets.Dataset.from_dict({"m": [m] * ROWS[m], "i": list(range(ROWS[m]))}).shuffle(seed)
        for m in names
    ]
    w = weights(pool)
    mixed = datasets.interleave_datasets(
        sets,
        probabilities=[w[m] for m in names],
        seed=seed,
        stopping_strategy="all_exhausted",
    )
    head = mixed.select(range(SAMPLES))
    return list(zip(head["m"], head["i"], strict=True))


def by_ray(pool: Pool, seed: int) -> Selected:
    """Draw with Ray Data's `mix` by rows, each set shuffled first, in small blocks."""
    import ray

    names, w = list(TARGET), weights(pool)
    rng = np.random.default_rng(seed)

    def blocks(code: int, name: str) -> list[pa.Table]:
        order = rng.permutation(ROWS[name])
        return [
            pa.table({"m": np.full(len(part), code), "i": part})
            for part in np.array_split(order, ROWS[name] // BLOCK)
        ]

    sets = [ray.data.from_arrow(blocks(c, m)) for c, m in enumerate(names)]
    mixed = sets[0].mix(*sets[1:], weights=[w[m] for m in names])
    drawn: Selected = []
    for batch in mixed.iter_batches(batch_size=BLOCK, batch_format="numpy"):
        drawn.extend((names[m], int(i)) for m, i in zip(batch["m"], batch["i"], strict=True))
        if len(drawn) >= SAMPLES:
            break
    return drawn[:SAMPLES]


def by_blend(pool: Pool, seed: int) -> Selected:
    """Draw the set by weight and the sample by an endless shuffled pass, as weighted blends do."""
    rng = np.random.default_rng(seed)
    names, w = list(TARGET), weights(pool)

    def endless(name: str) -> Iterator[int]:
        while True:
            yield from rng.permutation(ROWS[name]).tolist()

    streams = {m: endless(m) for m in names}
    chosen = rng.choice(len(names), SAMPLES, p=[w[m] for m in names])
    return [(names[c], next(streams[names[c]])) for c in chosen]


def by_smolmix(pool: Pool, seed: int) -> Selected:
    """Draw what the spec's selection says."""
    spec: dict[str, Any] = {
        "name": "shares",
        "seed": seed,
        "unit": "tokens",
        "total": {"samples": SAMPLES},
        "components": {m: {"corpus": m} for m in TARGET},
        "shares": {"modality": {m: s for m, s in TARGET.items() if m != "image"}},
        "caps": {"cot": 0.0005},
    }
    found = parse_spec(spec, "shares").spec
    columns = {
        m: {
            "rows": ROWS[m],
            "modality": m,
            "text_tokens": pool.tokens[m].tolist(),
            "visual_tokens": 0,
            "cot": np.where(pool.cot[m], "declared", "none").tolist(),
        }
        for m in TARGET
    }
    samples = pool_of(found, columns)
    candidates, ordered = stratify(found, samples, "shares")
    stratum, within = arrange(found, solve_spec(found, candidates, "shares"))
    size = np.diff(ordered.starts)
    rows = ordered.rows[ordered.starts[stratum] + within % size[stratum]]
    names = np.array(samples.components)[samples.component[rows]]
    return list(zip(names.tolist(), samples.row[rows].tolist(), strict=True))


def judge(pool: Pool, drawn: Selected) -> dict[str, float]:
    """Return the worst share errors and what chain of thought came to."""
    names = np.array([m for m, _ in drawn])
    tokens = np.array([pool.tokens[m][i] for m, i in drawn], np.float64)
    cot = np.array([pool.cot[m][i] for m, i in drawn])
    at = np.arange(1, len(drawn) + 1)
    whole = np.cumsum(tokens)
    off = np.max(
        [np.abs(np.cumsum(tokens * (names == m)) / whole - s) for m, s in TARGET.items()], axis=0
    )
    counts = np.unique([f"{m}/{i}" for m, i in drawn], return_counts=True)[1]
    return {
        "end_pp": 100 * float(off[-1]),
        "prefix_pp": 100 * float(off[FIRST:].max()),
        "cot_end": 100 * float(cot.mean()),
        "cot_prefix": 100 * float((np.cumsum(cot) / at)[FIRST:].max()),
        "twice": float((counts > 1).sum()),
    }


def main() -> None:
    """Print one row a way: the worst of five seeds."""
    pool = make_pool()
    print(
        "| way | worst share off at the end, pp | at any prefix from 1,000 on, pp | "
        "CoT at the end (cap 0.05 %) | CoT at worst prefix | used twice | seconds |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, way in (
        ("datasets.interleave_datasets", by_interleave),
        ("Ray Data mix", by_ray),
        ("weighted blend", by_blend),
        ("smolmix", by_smolmix),
    ):
        started = time.perf_counter()
        found = [judge(pool, way(pool, seed)) for seed in range(SEEDS)]
        seconds = (time.perf_counter() - started) / SEEDS
        worst = {k: max(f[k] for f in found) for k in found[0]}
        print(
            f"| {name} | {worst['end_pp']:.4f} | {worst['prefix_pp']:.3f} | "
            f"{worst['cot_end']:.4f} % | {worst['cot_prefix']:.4f} % | {worst['twice']:.0f} | "
            f"{seconds:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
