"""Our loader against tokenizing the same samples online with transformers' processor.

The content is a corpus of one's own: photographs-like JPEGs of three sizes with a question and an
answer each, taken through fetch, curate, mix and tokenize under the 256m profile. Online means a
PyTorch dataset that reads the same files, calls transformers' SmolVLM processor for each sample,
masks the prompt, packs by next-fit and hands out sequences, with one worker. Ids of all samples
are compared first. Each measurement is a new process.

Run: python -m benchmarks.tokenize.online SCRATCH [SAMPLES]
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

STARTED = time.time()
BUDGET = 8192
MIXTURE = """
name: bench
seed: 0
profile: {preset: 256m, style: inference}
unit: samples
total: max
components:
  all: {corpus: bench, take: all}
"""


def make(scratch: Path, samples: int) -> None:
    """Write the corpus, and run the four verbs on it."""
    from benchmarks.tokenize.images import SIZES, jpeg

    folder = scratch / "bench"
    (folder / "images").mkdir(parents=True)
    rows = []
    for i in range(samples):
        width, height = list(SIZES.values())[i % 3]
        # A size of its own makes each picture another one.
        (folder / "images" / f"{i}.jpg").write_bytes(jpeg(width + i // 3, height))
        question = {"from": "human", "value": f"<image>\nWhat is picture {i} made of? Say it all."}
        answer = {"from": "gpt", "value": f"Picture {i} is made of noise at three scales. " * 4}
        rows.append({"id": str(i), "image": f"images/{i}.jpg", "conversations": [question, answer]})
    (folder / "rows.json").write_text(json.dumps(rows))
    (scratch / "own.yaml").write_text(
        f"corpora:\n- {{id: bench, path: {folder}, format: llava, licence: CC0-1.0}}\n"
    )
    (scratch / "bench.yaml").write_text(MIXTURE)
    for words in (
        ["fetch", "bench", "--catalogue", str(scratch / "own.yaml")],
        ["curate", "bench", "--policy", "none"],
        ["mix", "build", str(scratch / "bench.yaml")],
        ["tokenize", "bench", "--sequence-length", str(BUDGET)],
    ):
        work = ["--workspace", str(scratch / "workspace")]
        command = str(Path(sys.executable).with_name("smolmix"))
        subprocess.run([command, *words, *work], check=True)


def stored(scratch: Path, skip: float) -> Iterator[list[list[int]]]:
    """Yield the samples' ids of each sequence of ours, from a part of the epoch on."""
    from smolmix.tokenize.loader import Loader, SequenceDataset

    [plan] = (scratch / "workspace" / "sequences" / "bench").iterdir()
    dataset = SequenceDataset(str(scratch / "workspace"), f"sequences/bench/{plan.name}")
    loader = Loader(dataset, workers=1, epochs=1)
    state = loader.state_dict()
    loader.load_state_dict(state | {"consumed": int(len(dataset) * skip)})
    for item in loader:
        edges = item["boundaries"].tolist()
        yield [item["input_ids"][a:b].tolist() for a, b in pairwise(edges)]


def online(scratch: Path, skip: float) -> Iterator[list[list[int]]]:
    """Yield the same from samples that are tokenized on request; skipping opens no image."""
    import torch
    from PIL import Image
    from transformers import AutoTokenizer
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
    from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

    from smolmix.profiles import profile
    from smolmix.tokenize.chat import processor_files

    class Processor(SmolVLMProcessor):
        def check_argument_for_proper_class(self, *_args: object, **_more: object) -> None:
            """Let the video processor be missing: it needs torchvision."""

    files = scratch / "processor"
    processor_files.write(files, profile("256m", style="inference"))
    images: Any = SmolVLMImageProcessorPil.from_pretrained(files)
    processor = Processor(
        images,
        AutoTokenizer.from_pretrained(files),
        SimpleNamespace(num_frames=64, fps=1, model_input_names=["pixel_values"]),
        image_seq_len=64,
        chat_template=processor_files.CHAT_TEMPLATE,
    )

    class Online(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Iterator[Any]:
            rows = json.loads((scratch / "bench" / "rows.json").read_text())
            waiting: list[Any] = []
            for row in rows[int(len(rows) * skip) :]:
                question, answer = (t["value"] for t in row["conversations"])
                asked = question.removeprefix("<image>").strip()
                user = [{"type": "image"}, {"type": "text", "text": asked}]
                messages: Any = [
                    {"role": "user", "content": user},
                    {"role": "assistant", "content": [{"type": "text", "text": answer.strip()}]},
                ]
                image = Image.open(scratch / "bench" / row["image"])
                out = processor(
                    text=[processor.apply_chat_template(messages)],
                    images=[[image]],
                    return_tensors="pt",
                )
                if sum(len(w["input_ids"][0]) for w in [*waiting, out]) > BUDGET:
                    yield _joined(waiting)
                    waiting = []
                waiting.append(out)
            yield _joined(waiting)

    def _joined(samples: list[Any]) -> Any:
        return {
            "ids": [s["input_ids"][0].tolist() for s in samples],
            "pixel_values": torch.cat([s["pixel_values"][0] for s in samples]),
        }

    for item in torch.utils.data.DataLoader(Online(), batch_size=None, num_workers=1):
        yield item["ids"]


CONTENDERS = {"smolmix": stored, "online": online}


def child(scratch: Path, name: str, skip: float) -> None:
    """In a new process: take all sequences from a place on; print what was seen and when."""
    import torch  # noqa: F401 (what any training process has imported by now)

    imported = time.time() - STARTED
    seen: list[list[int]] = []
    first = 0.0
    for sequence in CONTENDERS[name](scratch, skip):
        first = first or time.time() - STARTED - imported
        seen += sequence
    spent = (resource.getrusage(w) for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    cpu = sum(s.ru_utime + s.ru_stime for s in spent)
    print(json.dumps({"first_s": first, "all_s": time.time() - STARTED, "cpu_s": cpu,
                      "ids": sorted(seen)}))  # fmt: skip


def run(scratch: Path, name: str, skip: float) -> Any:
    """Run a child."""
    command = [sys.executable, "-m", "benchmarks.tokenize.online", str(scratch), "--child", name,
               str(skip)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Make the content once, then measure both in turns."""
    from benchmarks.tokenize.measure import report

    scratch = Path(sys.argv[1]).resolve()
    if "--child" in sys.argv:
        child(scratch, sys.argv[-2], float(sys.argv[-1]))
        return
    if not (scratch / "workspace").exists():
        scratch.mkdir(parents=True, exist_ok=True)
        make(scratch, int(sys.argv[2]) if len(sys.argv) > 2 else 150)
    whole: dict[str, list[Any]] = {name: [] for name in CONTENDERS}
    for _ in range(2):
        for name, runs in whole.items():
            runs.append(run(scratch, name, 0.0))
    assert whole["smolmix"][0]["ids"] == whole["online"][0]["ids"]
    out: dict[str, Any] = {}
    for name, runs in whole.items():
        resumed = run(scratch, name, 0.9)
        samples = len(runs[0]["ids"])
        out[name] = {
            "samples": samples,
            "samples per CPU second": round(samples / min(r["cpu_s"] for r in runs), 2),
            "samples per second": round(samples / min(r["all_s"] for r in runs), 2),
            "first sequence, after torch is imported, s": round(min(r["first_s"] for r in runs), 2),
            "resumed at 90 %, the same, s": round(resumed["first_s"], 2),
        }
    ours, theirs = (out[n]["samples per CPU second"] for n in ("smolmix", "online"))
    report("online", out | {"faster by": round(ours / theirs, 1)})


if __name__ == "__main__":
    main()
