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
    """Return recall of exact and near copies, and how many drops are wrong.

    Which copy stays is free: an exact copy is found where not both it and its original stay, a
    near copy where it does not stay beside either of them.
    """
    exact = near = groups = 0
    names = set[str]()
    for start in range(0, count - 9, 10):
        one, same, alike = f"o{start}-{start}", f"e{start + 3}-{start}", f"n{start + 7}-{start}"
        exact += one in dropped or same in dropped
        near += alike in dropped or {one, same} <= dropped
        groups += 1
        names.update((one, same, alike))
    return {
        "exact_recall": round(exact / max(1, groups), 4),
        "near_recall": round(near / max(1, groups), 4),
        "wrong": len(dropped - names),
    }


def cpu_s() -> float:
    """Return the seconds of CPU that this process and its ended children took."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(kind) for kind in kinds]
    return sum(u.ru_utime + u.ru_stime for u in used)


def counted(at: float, cpu: float) -> dict[str, float]:
    """Return wall and CPU seconds since `at` and `cpu`."""
    return {
        "counted_s": round(time.monotonic() - at, 2),
        "counted_cpu_s": round(cpu_s() - cpu, 2),
    }


def _ours(count: int, folder: Path, policy_bands: tuple[int, int]) -> set[str]:
    from smolmix import removals
    from smolmix.accounting import RowAccounting
    from smolmix.engine.stage import RunOptions
    from smolmix.pipelines.curate.dedup.inputs import DedupInput
    from smolmix.pipelines.curate.dedup.text import minhash, near_duplicates
    from smolmix.pipelines.curate.settings import TextDedup
    from smolmix.pipelines.curate.steps import Steps
    from smolmix.sample import Sample, turns_of
    from smolmix.storage import Folder
    from smolmix.workspace import STAGE_FILE, StageRecord, Workspace

    bands, rows = policy_bands
    policy = TextDedup(bands=bands, rows=rows, numbers="ignore")
    filtered = Folder(str(folder / "filter" / "bench"))
    filtered.local().mkdir(parents=True)
    started, parts, batch = time.monotonic(), dict[str, str](), list[tuple[int, Sample]]()
    writer, row = None, 0
    signing = signing_cpu = 0.0
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
            at, cpu = time.monotonic(), cpu_s()
            assert writer is not None
            writer.write(batch)
            signing, signing_cpu = signing + time.monotonic() - at, signing_cpu + cpu_s() - cpu
            batch = []
    assert writer is not None
    writer.write(batch)
    writer.__exit__(None, None, None)
    record = StageRecord(
        stage="filter", version=1, units=parts, digest="bench", accounting=RowAccounting(), info={}
    )
    from dataclasses import asdict

    filtered.write_json(STAGE_FILE, asdict(record))
    made = time.monotonic() - started
    corpus_input = DedupInput(corpus="b", rank=0, filtered=filtered.url)
    at, cpu = time.monotonic(), cpu_s()

    steps = Steps(workspace=Workspace(str(folder)), work="dedup", options=RunOptions(quiet=True))
    joined = near_duplicates.find(steps, "bench", [corpus_input], policy)
    print(
        json.dumps({"making_s": round(made - signing, 1), "signatures_s": round(signing, 2),
                    "matching_s": round(time.monotonic() - at, 2),
                    "counted_s": round(signing + time.monotonic() - at, 2),
                    "signatures_cpu_s": round(signing_cpu, 2),
                    "counted_cpu_s": round(signing_cpu + cpu_s() - cpu, 2)})
    )  # fmt: skip
    return set(removals.read(joined)["id"].to_pylist())


def _rensa(count: int) -> set[str]:
    from rensa import RMinHash, RMinHashLSH

    pairs = [(n, t.split(" ")) for n, t in documents(count)]
    at, cpu, dropped = time.monotonic(), cpu_s(), set[str]()
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
    print(json.dumps(counted(at, cpu)))
    return dropped


def _let_it_hash_text() -> None:
    """datatrove 0.10.1 hands `str` to xxhash, which its newest release refuses: encode it."""
    import types

    import datatrove.utils.hashes.xxhash as module
    import xxhash

    module.xxhash = types.SimpleNamespace(
        xxh64_intdigest=lambda text: xxhash.xxh64_intdigest(text.encode())
    )


def _datatrove(count: int, folder: Path, *, own_words: bool) -> set[str]:
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
    )
    from datatrove.utils.typeshelper import Languages
    from datatrove.utils.word_tokenizers import WordTokenizer

    _let_it_hash_text()

    class Split(WordTokenizer):  # type: ignore[misc]  # a class of a package without types
        def word_tokenize(self, text: str) -> list[str]:
            return text.split(" ")

        def sent_tokenize(self, text: str) -> list[str]:
            return [text]

        def span_tokenize(self, text: str) -> list[tuple[int, int]]:
            return [(0, len(text))]

    language = Languages.english if own_words else Split("en")
    config = MinhashConfig(n_grams=5, num_buckets=BANDS, hashes_per_bucket=ROWS)
    every = [Document(text=t, id=n) for n, t in documents(count)]
    at, cpu, kept = time.monotonic(), cpu_s(), set[str]()

    def read(data: object = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        yield from every

    def note(data: Iterator[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for one in data:
            kept.add(one.id)
            yield one

    place = str(folder)
    steps = [
        [read, MinhashDedupSignature(f"{place}/sig", config=config, language=language)],
        [MinhashDedupCluster(f"{place}/buckets", f"{place}/remove", config=config)],
        [read, MinhashDedupFilter(f"{place}/remove"), note],
    ]
    LocalPipelineExecutor(steps[0], tasks=1, logging_dir=f"{place}/l1").run()
    buckets = MinhashDedupBuckets(f"{place}/sig", f"{place}/buckets", config=config)
    LocalPipelineExecutor([buckets], tasks=BANDS, workers=1, logging_dir=f"{place}/l2").run()
    LocalPipelineExecutor(steps[1], tasks=1, logging_dir=f"{place}/l3").run()
    LocalPipelineExecutor(steps[2], tasks=1, logging_dir=f"{place}/l4").run()
    print(json.dumps(counted(at, cpu)))
    return {d.id for d in every} - kept


def _juicer(count: int) -> set[str]:
    from data_juicer.core.data import NestedDataset
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import (
        DocumentMinhashDeduplicator,
    )

    rows = [{"text": t, "id": n} for n, t in documents(count)]
    operator = DocumentMinhashDeduplicator(
        tokenization="space", window_size=5, lowercase=False, num_permutations=BANDS * ROWS,
        num_bands=BANDS, num_rows_per_band=ROWS, ignore_pattern=None,
    )  # fmt: skip
    at, cpu = time.monotonic(), cpu_s()
    data = NestedDataset.from_list(rows)
    data = data.map(operator.compute_hash, num_proc=1)
    data, _ = operator.process(data)
    print(json.dumps(counted(at, cpu)))
    return {r["id"] for r in rows} - set(data["id"])


def main() -> None:
    """Run one system on one corpus and print its figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "system",
        choices=["ours", "ours-default", "datatrove", "datatrove-split", "rensa", "data-juicer"],
    )
    parser.add_argument("--documents", type=int, default=20_000)
    args = parser.parse_args()
    folder, started = Path(tempfile.mkdtemp()), time.monotonic()
    try:
        if args.system.startswith("ours"):
            bands = (20, 6) if args.system == "ours-default" else (BANDS, ROWS)
            dropped = _ours(args.documents, folder, bands)
        elif args.system.startswith("datatrove"):
            own = args.system == "datatrove"
            dropped = _datatrove(args.documents, folder, own_words=own)
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
