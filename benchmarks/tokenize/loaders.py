"""Loaders holding the same content: ours, litdata, Megatron-Energon, WebDataset, and online.

The content is a tokenized plan: per sequence its ids, labels, boundaries and the stored bytes of
its images. Every loader reads those with one worker and hands them to the same decoder. Each
measurement is a new process; the time to the first sequence counts from its start.

Run: python -m benchmarks.tokenize.loaders WORKSPACE sequences/<mixture>/<plan> SCRATCH
(with litdata, megatron-energon and webdataset installed, in an environment of their own)
"""

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

STARTED = time.time()
PEERS = ("smolmix", "litdata", "webdataset", "energon")


def contents(workspace: str, plan: str) -> Iterator[dict[str, Any]]:
    """Yield each sequence of a plan as bytes: what every loader is given."""
    from smolmix.tokenize.loader import SequenceDataset

    dataset = SequenceDataset(workspace, plan, load_tiles=False)
    for number in range(len(dataset)):
        item = dataset[number]
        stored = [
            (row.codec, b"".join(len(b).to_bytes(4, "little") + bytes(b) for b in row.blobs))
            for d in dataset.plan.documents(number)
            for row in (dataset.tiles_row(*p) for p in zip(d.tile_shards, d.tile_rows, strict=True))
        ]
        yield {
            "number": number,
            "ids": item["input_ids"].numpy().astype("int32").tobytes(),
            "labels": item["labels"].numpy().astype("int32").tobytes(),
            "boundaries": item["boundaries"].numpy().tobytes(),
            "media": pickle.dumps(stored),
        }


def decoded(item: dict[str, Any], pixel: Any) -> dict[str, Any]:
    """Return tensors of a sequence: the decoder that all loaders share."""
    import numpy as np
    import torch

    from smolmix.tokenize.tiles.codec import decode_tiles

    tiles = []
    for codec, data in pickle.loads(item["media"]):
        blobs, at = [], 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "little")
            blobs.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        tiles.append(decode_tiles(blobs, codec, pixel))
    edge = pixel.tile_px
    joined = np.concatenate(tiles) if tiles else np.empty((0, edge, edge, 3), np.uint8)
    out = {
        k: torch.from_numpy(np.frombuffer(item[k], np.int32).astype(np.int64))
        for k in ("ids", "labels", "boundaries")
    }
    return {**out, "tiles": torch.from_numpy(joined).permute(0, 3, 1, 2), "number": item["number"]}


def _pixel(workspace: str, plan: str) -> Any:
    from smolmix.tokenize.shards.packing_plan import PackingRecord
    from smolmix.workspace import Workspace

    return PackingRecord.read(Workspace(workspace).child(plan)).profile.pixel


class Decode:
    """The shared decoder as a picklable function."""

    def __init__(self, pixel: Any, parse: Callable[[Any], dict[str, Any]] = dict):
        """Parse a loader's item, then decode it."""
        self.pixel, self.parse = pixel, parse

    def __call__(self, item: Any) -> dict[str, Any]:
        """Return tensors."""
        return decoded(self.parse(item), self.pixel)


def from_tar(item: Any) -> dict[str, Any]:
    """Return the content of a WebDataset sample."""
    return {k: item[k] for k in ("ids", "labels", "boundaries", "media")} | {
        "number": int(item["__key__"])
    }


def write_litdata(workspace: str, plan: str, scratch: Path) -> None:
    """Write litdata chunks of 64 MB."""
    from litdata.streaming.writer import BinaryWriter

    folder = scratch / "litdata"
    folder.mkdir()
    writer = BinaryWriter(str(folder), chunk_bytes="64MB")
    for i, item in enumerate(contents(workspace, plan)):
        writer[i] = item
    writer.done()
    writer.merge(1)


def write_tars(workspace: str, plan: str, scratch: Path, name: str) -> None:
    """Write WebDataset tars of 200 sequences."""
    import webdataset

    folder = scratch / name
    folder.mkdir()
    with webdataset.ShardWriter(str(folder / "part-%04d.tar"), maxcount=200, verbose=0) as sink:
        for item in contents(workspace, plan):
            body = {k: item[k] for k in ("ids", "labels", "boundaries", "media")}
            sink.write({"__key__": f"{item['number']:08d}", **body})
    if name == "energon":
        command = [
            str(Path(sys.executable).with_name("energon")), "prepare", str(folder),
            "--non-interactive", "--split-ratio", "1,0,0", "--sample-type", "CrudeWebdataset",
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)


def open_smolmix(args: list[str], state: Any, workers: int) -> tuple[Any, Callable[[], Any]]:
    """Open our loader; it needs no Decode, its own is the same one."""
    from smolmix.tokenize.loader import Loader, SequenceDataset

    loader = Loader(SequenceDataset(args[0], args[1]), workers=workers, epochs=1)
    if state is not None:
        loader.load_state_dict(state)
    items = ({**i, "number": i["place"], "ids": i["input_ids"]} for i in loader)
    return items, loader.state_dict


def open_litdata(args: list[str], state: Any, workers: int) -> tuple[Any, Callable[[], Any]]:
    """Open litdata's streaming loader."""
    from litdata import (
        StreamingDataLoader,
        StreamingDataset,
    )

    class Decoding(StreamingDataset):  # type: ignore[misc]  # a class of a package without types
        def __getitem__(self, index: Any) -> Any:
            return decode(super().__getitem__(index))

    decode = Decode(_pixel(args[0], args[1]))
    dataset = Decoding(str(Path(args[2]) / "litdata"), shuffle=False)
    loader = StreamingDataLoader(dataset, batch_size=1, num_workers=workers, collate_fn=_first)
    if state is not None:
        loader.load_state_dict(state)
    return loader, loader.state_dict


def _first(batch: list[Any]) -> Any:
    return batch[0]


def open_webdataset(args: list[str], state: Any, workers: int) -> tuple[Any, Callable[[], Any]]:
    """Open WebDataset; it cannot resume, so what was seen is read again and thrown away."""
    import torch
    import webdataset

    files = sorted(str(p) for p in (Path(args[2]) / "webdataset").glob("*.tar"))
    dataset = webdataset.WebDataset(files, shardshuffle=False).map(
        Decode(_pixel(args[0], args[1]), from_tar)
    )
    loader = iter(torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=workers))
    for _ in range(state or 0):
        next(loader)
    return loader, lambda: None


def open_energon(args: list[str], state: Any, workers: int) -> tuple[Any, Callable[[], Any]]:
    """Open Megatron-Energon's savable loader."""
    from megatron.energon import (
        Cooker,
        DefaultTaskEncoder,
        WorkerConfig,
        get_savable_loader,
        get_train_dataset,
        stateless,
    )

    decode = Decode(_pixel(args[0], args[1]), from_tar)

    @stateless  # type: ignore[untyped-decorator]  # of a package without types
    def cook(sample: Any) -> Any:
        return decode(sample)

    class Encoder(DefaultTaskEncoder):  # type: ignore[misc]  # a class of a package without types
        cookers = [Cooker(cook)]  # noqa: RUF012  # Energon reads it from the class

        def batch(self, samples: list[Any]) -> Any:
            return samples[0]

    loader = get_savable_loader(
        get_train_dataset(
            str(Path(args[2]) / "energon"),
            worker_config=WorkerConfig(rank=0, world_size=1, num_workers=workers),
            batch_size=1,
            shuffle_buffer_size=None,
            max_samples_per_sequence=None,
            task_encoder=Encoder(),
            repeat=False,
        )
    )
    if state is not None:
        loader.restore_state_rank(state)
    return loader, loader.save_state_rank


OPEN = {
    "smolmix": open_smolmix,
    "litdata": open_litdata,
    "webdataset": open_webdataset,
    "energon": open_energon,
}


def _cpu_s() -> float:
    """Return CPU seconds of this process and of the workers it started, running ones included."""
    import psutil

    me = psutil.Process()
    live = (p.cpu_times() for p in (me, *me.children(recursive=True)))
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(t.user + t.system for t in live) + ended.ru_utime + ended.ru_stime


def child(peer: str, args: list[str], take: int, state: str, workers: int, save: str) -> None:
    """In a new process: take sequences, print when the first came; save the state on request."""
    opened, state_of = OPEN[peer](args, pickle.loads(Path(state).read_bytes()) if state else None,
                                  workers)  # fmt: skip
    numbers: list[int] = []
    first, first_cpu, tokens = 0.0, 0.0, 0
    opened_at = time.time() - STARTED  # torch and the loader's package are imported by now
    for item in opened:
        if not numbers:
            first, first_cpu = time.time() - STARTED, _cpu_s()
        numbers.append(int(item["number"]))
        tokens += len(item["ids"]) + int(item["tiles"].shape[0])
        if len(numbers) == take:
            break
    ended = time.time() - STARTED
    if save:
        kept = state_of() if peer != "webdataset" else len(numbers)
        Path(save).write_bytes(pickle.dumps(kept))
    measured = {"first_s": first, "opened_s": opened_at, "all_s": ended}
    measured |= {"cpu_s": _cpu_s(), "first_cpu_s": first_cpu}
    print(json.dumps({**measured, "seen": numbers, "sum": tokens}), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)  # as a real crash would


def run(peer: str, args: list[str], take: int, state: str = "", workers: int = 1, save: str = ""
        ) -> dict[str, Any] | str:  # fmt: skip
    """Run a child; return what it measured, or the error it ended with."""
    command = [sys.executable, "-m", "benchmarks.tokenize.loaders", *args, "--child", peer,
               str(take), state, str(workers), save]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    lines = [x for x in done.stdout.splitlines() if x.startswith("{")]
    if not lines:
        return (done.stderr.strip().splitlines() or ["no answer"])[-1][:160]
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def compare(args: list[str]) -> dict[str, Any]:
    """Measure all loaders, taking turns."""
    from smolmix.tokenize.shards.packing_plan import PackingRecord
    from smolmix.workspace import Workspace

    scratch = Path(args[2])
    if not (scratch / "litdata").exists():
        scratch.mkdir(parents=True, exist_ok=True)
        write_litdata(args[0], args[1], scratch)
        write_tars(args[0], args[1], scratch, "webdataset")
        write_tars(args[0], args[1], scratch, "energon")
    total = PackingRecord.read(Workspace(args[0]).child(args[1])).sequences
    out: dict[str, Any] = {}
    for peer in PEERS:
        saved = str(scratch / f"{peer}.state")
        cut = total * 9 // 10
        tried = [run(peer, args, total) for _ in range(2)]
        whole = [w for w in tried if not isinstance(w, str)]
        if len(whole) < len(tried):
            out[peer] = {"error": tried}
            continue
        best = min(whole, key=lambda w: float(w["cpu_s"]))
        part = run(peer, args, cut, save=saved)
        result: dict[str, Any] = {
            "sequences per CPU second": round(total / best["cpu_s"], 1),
            "first sequence after s": round(min(w["first_s"] for w in whole), 2),
            "first sequence after CPU s": round(min(w["first_cpu_s"] for w in whole), 2),
            "content": best["sum"],
            "seen of": [len(set(best["seen"])), total],
        }
        for name, workers in (("same workers", 1), ("2 workers after 1", 2)):
            rest = run(peer, args, total, state=saved, workers=workers)
            if isinstance(rest, str) or isinstance(part, str):
                result[f"resume at 90 %, {name}"] = {"error": rest if isinstance(rest, str) else ""}
                continue
            seen = Counter(part["seen"]) + Counter(rest["seen"])
            result[f"resume at 90 %, {name}"] = {
                "first sequence after s": round(rest["first_s"], 2),
                "first sequence after CPU s": round(rest["first_cpu_s"], 2),
                "twice": sum(n - 1 for n in seen.values()),
                "lost": total - len(seen),
            }
        out[peer] = result
    return out


def main() -> None:
    """Measure, or be one of the measured processes."""
    args = sys.argv[1:4]
    if "--child" in sys.argv:
        at = sys.argv.index("--child")
        peer, take, state, workers, save = sys.argv[at + 1 : at + 6]
        child(peer, args, int(take), state, int(workers), save)
        return
    from benchmarks.tokenize.measure import report

    report(f"loaders-{Path(args[2]).name}", compare(args))


if __name__ == "__main__":
    main()
