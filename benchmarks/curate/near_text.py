"""MinHash over 20k to 1M documents: ours, datatrove, rensa alone, data-juicer; recall first.

    python benchmarks/curate/near_text.py ours --documents 20000
    python benchmarks/curate/near_text.py datatrove --documents 20000
    python benchmarks/curate/near_text.py rensa --documents 20000
    DJ/bin/python benchmarks/curate/near_text.py data-juicer --documents 20000

The same corpus for all: of every 10 documents one is an exact copy of an earlier one and one a
copy with 3 % of its words changed. Bands 14 × 8, 5-word shingles (14 × 8 is datatrove's own).
"""

import argparse
import json
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

BANDS, ROWS = 14, 8


def vocabulary() -> list[str]:
    """Return 20,000 words, seeded."""
    rng = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(rng.choices(letters, k=rng.randint(2, 10))) for _ in range(20_000)]


def documents(count: int, words: int = 220) -> Iterator[tuple[str, str]]:
    """Yield (id, text); ids say what each is: `o` an original, `e` exact copy, `n` near copy."""
    known = vocabulary()
    for number in range(count):
        original = number - number % 10
        kind = {3: "e", 7: "n"}.get(number % 10, "o")
        rng = random.Random(number if kind == "o" else original)
        said = rng.choices(known, k=words)
        if kind == "n":
            edit = random.Random(number)
            for at in edit.sample(range(words), words * 3 // 100):
                said[at] = edit.choice(known)
        yield f"{kind}{number}-{original}", " ".join(said)


def truth(dropped: set[str], count: int) -> dict[str, object]:
    """Return recall of exact and near copies, and how many drops are wrong."""
    exact = {f"e{n}-{n - 3}" for n in range(3, count, 10)}
    near = {f"n{n}-{n - 7}" for n in range(7, count, 10)}
    # A group's keeper is free: count by group.
    group = {i.split("-")[1] for i in dropped if i[0] == "o"}
    found_exact = sum(i in dropped or i.split("-")[1] in group for i in exact)
    found_near = sum(i in dropped or i.split("-")[1] in group for i in near)
    planted = {i.split("-")[1] for i in exact | near}
    wrong = sum(i[0] == "o" and i.split("-")[1] not in planted for i in dropped)
    return {
        "exact_recall": round(found_exact / max(1, len(exact)), 4),
        "near_recall": round(found_near / max(1, len(near)), 4),
        "wrong": wrong,
    }


def _ours(count: int, folder: Path, policy_bands: tuple[int, int]) -> set[str]:
    import pyarrow.parquet as pq

    from smolmix.engine import run_stage
    from smolmix.pipelines.dedup import minhash, near_text, verdicts
    from smolmix.pipelines.dedup.origins import Origin
    from smolmix.pipelines.filters.policy import TextDedup
    from smolmix.sample import Sample, Tally, turns_of
    from smolmix.storage import STAGE_FILE, Folder, StageRecord, part_files

    bands, rows = policy_bands
    policy = TextDedup(bands=bands, rows=rows, numbers="ignore")
    filtered = Folder(str(folder / "filter" / "bench"))
    filtered.local().mkdir(parents=True)
    started, parts, batch = time.monotonic(), dict[str, str](), list[tuple[int, Sample]]()
    writer, row = None, 0
    signing = 0.0
    for name, text in documents(count):
        if row % 50_000 == 0:
            if writer is not None:
                writer.write(batch)
                writer.__exit__(None, None, None)
                batch, row = [], 0
            part = f"part-{len(parts):05d}"
            parts[part] = part
            writer = minhash.Writer(filtered.local(part + minhash.SUFFIX), policy)
        sample = Sample(
            id=name, corpus="b", modality="text", category="text", licence="", source_file="",
            source_row=0, turns=turns_of(("assistant", text)), text_chars=len(text),
        )  # fmt: skip
        batch.append((row, sample))
        row += 1
        if len(batch) == 1000:
            at = time.monotonic()
            assert writer is not None
            writer.write(batch)
            signing += time.monotonic() - at
            batch = []
    assert writer is not None
    writer.write(batch)
    writer.__exit__(None, None, None)
    record = StageRecord(
        stage="filter", version=1, units=parts, digest="bench", tally=Tally(), info={}
    )
    from dataclasses import asdict

    filtered.write_json(STAGE_FILE, asdict(record))
    made = time.monotonic() - started
    origin = Origin(corpus="b", rank=0, filtered=filtered.url)
    found = Folder(str(folder / "bands" / "bench"))
    at = time.monotonic()
    run_stage(
        near_text.BANDS, near_text.band_units([origin], policy), folder=found, workers=0, quiet=True
    )
    joined = Folder(str(folder / "texts" / "bench"))
    units = near_text.join_units([origin], policy, found)
    run_stage(near_text.TEXTS, units, folder=joined, workers=0, quiet=True)
    print(
        json.dumps({"making_s": round(made - signing, 1), "signatures_s": round(signing, 2),
                    "matching_s": round(time.monotonic() - at, 2),
                    "counted_s": round(signing + time.monotonic() - at, 2)})
    )  # fmt: skip
    ids: set[str] = set()
    for name in part_files(joined, verdicts.SUFFIX):
        ids.update(pq.read_table(joined.local(name), columns=["id"])["id"].to_pylist())
    return ids


def _rensa(count: int) -> set[str]:
    from rensa import RMinHash, RMinHashLSH

    pairs = [(n, t.split(" ")) for n, t in documents(count)]
    at, dropped = time.monotonic(), set[str]()
    lsh = RMinHashLSH(threshold=0.7, num_perm=BANDS * ROWS, num_bands=BANDS)
    signed: list[RMinHash] = []
    for number, (_, said) in enumerate(pairs):
        one = RMinHash(num_perm=BANDS * ROWS, seed=42)
        one.update([" ".join(said[i : i + 5]) for i in range(len(said) - 4)])
        near = lsh.query(one)
        if any(signed[k].jaccard(one) >= 0.6 for k in near):
            dropped.add(pairs[number][0])
        signed.append(one)
        lsh.insert(number, one)
    print(json.dumps({"counted_s": round(time.monotonic() - at, 2)}))
    return dropped


def _let_it_hash_text() -> None:
    """datatrove 0.10.1 hands `str` to xxhash, which its newest release refuses: encode it."""
    import types

    import datatrove.utils.hashes.xxhash as module
    import xxhash

    module.xxhash = types.SimpleNamespace(
        xxh64_intdigest=lambda text: xxhash.xxh64_intdigest(text.encode())
    )


def _datatrove(count: int, folder: Path) -> set[str]:
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
    )
    from datatrove.utils.word_tokenizers import WordTokenizer

    _let_it_hash_text()

    class Split(WordTokenizer):  # type: ignore[misc]
        def word_tokenize(self, text: str) -> list[str]:
            return text.split(" ")

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    config = MinhashConfig(n_grams=5, num_buckets=BANDS, hashes_per_bucket=ROWS)
    every = [Document(text=t, id=n) for n, t in documents(count)]
    at, kept = time.monotonic(), set[str]()

    def read(data: object = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        yield from every

    def note(data: Iterator[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for one in data:
            kept.add(one.id)
            yield one

    place = str(folder)
    steps = [
        [read, MinhashDedupSignature(f"{place}/sig", config=config, language=Split("en"))],
        [MinhashDedupCluster(f"{place}/buckets", f"{place}/remove", config=config)],
        [read, MinhashDedupFilter(f"{place}/remove"), note],
    ]
    LocalPipelineExecutor(steps[0], tasks=1, logging_dir=f"{place}/l1").run()
    buckets = MinhashDedupBuckets(f"{place}/sig", f"{place}/buckets", config=config)
    LocalPipelineExecutor([buckets], tasks=BANDS, logging_dir=f"{place}/l2").run()
    LocalPipelineExecutor(steps[1], tasks=1, logging_dir=f"{place}/l3").run()
    LocalPipelineExecutor(steps[2], tasks=1, logging_dir=f"{place}/l4").run()
    print(json.dumps({"counted_s": round(time.monotonic() - at, 2)}))
    return {d.id for d in every} - kept


def _juicer(count: int) -> set[str]:
    from data_juicer.core.data import NestedDataset  # type: ignore[import-not-found]
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import (  # type: ignore[import-not-found]
        DocumentMinhashDeduplicator,
    )

    rows = [{"text": t, "id": n} for n, t in documents(count)]
    operator = DocumentMinhashDeduplicator(
        tokenization="space", window_size=5, lowercase=False, num_permutations=BANDS * ROWS,
        num_bands=BANDS, num_rows_per_band=ROWS, ignore_pattern=None,
    )  # fmt: skip
    at = time.monotonic()
    data = NestedDataset.from_list(rows)
    data = data.map(operator.compute_hash, num_proc=1)
    data, _ = operator.process(data)
    print(json.dumps({"counted_s": round(time.monotonic() - at, 2)}))
    return {r["id"] for r in rows} - set(data["id"])


def main() -> None:
    """Run one system on one corpus and print its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "system", choices=["ours", "ours-default", "datatrove", "rensa", "data-juicer"]
    )
    parser.add_argument("--documents", type=int, default=20_000)
    args = parser.parse_args()
    folder, started = Path(tempfile.mkdtemp()), time.monotonic()
    try:
        if args.system.startswith("ours"):
            bands = (20, 6) if args.system == "ours-default" else (BANDS, ROWS)
            dropped = _ours(args.documents, folder, bands)
        elif args.system == "datatrove":
            dropped = _datatrove(args.documents, folder)
        elif args.system == "rensa":
            dropped = _rensa(args.documents)
        else:
            dropped = _juicer(args.documents)
    finally:
        shutil.rmtree(folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        json.dumps(
            {"system": args.system, "documents": args.documents, "peak_mib": round(peak),
             "whole_s": round(time.monotonic() - started, 1), **truth(dropped, args.documents)}
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
