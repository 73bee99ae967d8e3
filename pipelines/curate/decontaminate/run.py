"""Stages "benchmarks" and "contamination": index what is held back, then search for it.

A sample is contaminated when it holds enough n-grams of a benchmark's text, or shows a
benchmark's picture or clip. The match is written beside the drop.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from smolmix import removals
from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.errors import DataError, UsageError
from smolmix.pipelines.curate.decontaminate import ngrams
from smolmix.pipelines.curate.dedup.clusters import Clusters
from smolmix.pipelines.curate.dedup.inputs import DedupInput, input_digests
from smolmix.pipelines.curate.dedup.text.shingles import Hashes, words
from smolmix.pipelines.curate.policy import Decontaminate
from smolmix.removals import Removal
from smolmix.schema import from_table
from smolmix.storage import Folder, digest_file
from smolmix.workspace import Workspace, part_files, stage_record

INDEX = "texts.npz"
_UNIT = "index-00000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """What training data must not hold: measured benchmark corpora, and a user's files."""

    corpora: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.corpora or self.files)

    def inputs(self, workspace: Workspace) -> dict[str, str]:
        """Return what a unit that reads them depends on."""
        found = {f"benchmark {c}": stage_record(workspace.measured(c)).digest for c in self.corpora}
        for number, name in enumerate(self.files):
            with open(name, "rb") as stream:
                found[f"file {number}"] = digest_file(stream)
        return found


def check_files(files: Sequence[str]) -> None:
    """Refuse files that hold no texts.

    Raises:
        UsageError: a file is not there, or is neither .txt nor .jsonl.
    """
    wanted = 'a .txt of one text a line, or a .jsonl of {"text": ..., "id": ...}'
    for name in files:
        if not Path(name).is_file():
            raise UsageError(f"--contamination-set {name}: no such file; give {wanted}")
        if Path(name).suffix not in (".txt", ".jsonl"):
            raise UsageError(
                f"--contamination-set {name}: {Path(name).suffix or 'no ending'}; give {wanted}"
            )


def benchmarks(workspace: Workspace, corpus: str, files: Sequence[str] = ()) -> Against:
    """Return every measured corpus of role benchmark but `corpus` itself, and the files.

    Raises:
        UsageError: a file is not there, or is neither .txt nor .jsonl.
    """
    check_files(files)
    corpora = [
        c
        for c in workspace.corpora("measured")
        if stage_record(workspace.measured(c)).info.get("role") == "benchmark"
    ]
    if corpus in corpora:
        return Against()  # a benchmark is not cleaned of another
    return Against(corpora=tuple(corpora), files=tuple(map(str, files)))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexPayload:
    """What the index's unit needs beside its key."""

    workspace: str
    against: Against
    policy: Decontaminate


def _corpus_texts(workspace: Workspace, corpus: str) -> Iterator[tuple[str, Hashes]]:
    folder = workspace.measured(corpus)
    for name in part_files(folder):
        with folder.open(name) as stream:
            file = pq.ParquetFile(stream)
            for group in range(file.num_row_groups):
                for sample in from_table(file.read_row_group(group), where=name):
                    said = ngrams.words_of(sample)
                    if not sample.media or len(said) >= ngrams.MIN_WORDS_WITH_MEDIA:
                        yield sample.id, said


def _file_texts(name: str) -> Iterator[tuple[str, Hashes]]:
    with open(name, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines):
            if not line.strip():
                continue
            label, text = f"{Path(name).name}#{number}", line
            if name.endswith(".jsonl"):
                try:
                    row = json.loads(line)
                    text, label = str(row["text"]), str(row.get("id", label))
                except (ValueError, TypeError, KeyError) as error:
                    raise DataError(
                        f"{name}:{number + 1}: not an object with `text`; write one a line"
                    ) from error
            yield label, words(text)


def _run_index(unit: Unit[IndexPayload], context: UnitContext) -> Result:
    payload = unit.payload
    workspace = Workspace(payload.workspace)

    def texts() -> Iterator[tuple[str, Hashes]]:
        for corpus in payload.against.corpora:
            yield from _corpus_texts(workspace, corpus)
        for name in payload.against.files:
            yield from _file_texts(name)

    index = ngrams.Index.build(texts(), payload.policy)
    with open(context.out / f"{unit.name}.{INDEX}", "wb") as stream:
        index.save(stream)
    return Result(
        accounting=RowAccounting(), stats={"texts": len(index.ids), "ngrams": len(index.grams)}
    )


BENCHMARKS = Stage(name="benchmarks", version=2, run=_run_index)


def index_units(
    workspace: Workspace, against: Against, policy: Decontaminate
) -> list[Unit[IndexPayload]]:
    """Return the one unit that indexes the texts."""
    return [
        Unit(
            name=_UNIT,
            inputs=against.inputs(workspace),
            params=_params(policy),
            payload=IndexPayload(workspace=workspace.url, against=against, policy=policy),
        )
    ]


def _params(policy: Decontaminate) -> dict[str, object]:
    return {"policy": policy.model_dump(mode="json")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a worker needs beside the unit's key."""

    workspace: str
    measured: str
    corpus_input: DedupInput
    index: str  # folder, or ""
    clusters: str  # media pairs with the benchmarks, or ""
    against: Against
    policy: Decontaminate


def _held_media(
    folder: Folder, parts: Sequence[str], clusters: Clusters, only_heldout: bool
) -> dict[str, str]:
    """Return cluster of each held-back medium -> id of a sample that shows it."""
    found: dict[str, str] = {}
    for part in parts:
        with folder.open(part) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(columns=["id", "split", "media"]):
                for row in batch.to_pylist():
                    if only_heldout and row["split"] != "heldout":
                        continue
                    for medium in row["media"]:
                        if digest := medium["digest"]:
                            found.setdefault(clusters.canonical.get(digest, digest), row["id"])
    return found


def _shown(payload: Payload, clusters: Clusters) -> dict[str, str]:
    workspace, held = Workspace(payload.workspace), dict[str, str]()
    if payload.policy.images:
        for corpus in payload.against.corpora:
            folder = workspace.measured(corpus)
            held = _held_media(folder, part_files(folder), clusters, False) | held
    if payload.policy.heldout == "image":
        folder = Folder(payload.measured)
        held = _held_media(folder, part_files(folder), clusters, True) | held
    return held


def _run(unit: Unit[Payload], context: UnitContext) -> Result:
    payload = unit.payload
    clusters = Clusters.load(Folder(payload.clusters)) if payload.clusters else Clusters({})
    held = _shown(payload, clusters)
    index = None
    if payload.index:
        with Folder(payload.index).open(f"{_UNIT}.{INDEX}") as stream:
            index = ngrams.Index.load(stream)
    survivors = {
        row["row"]
        for row in payload.corpus_input.rows(
            unit.name, ".rows.parquet", ["row", "split"], [("reason", "=", "")]
        )
        if row["split"] == "train"
    }
    found, start = list[Removal](), 0
    with Folder(payload.measured).open(f"{unit.name}.parquet") as stream:
        file = pq.ParquetFile(stream)
        for group in range(file.num_row_groups):
            for offset, sample in enumerate(from_table(file.read_row_group(group))):
                row = start + offset
                if row not in survivors:
                    continue
                match = _media_match(sample.media, held, clusters)
                reason = "contaminated-media"
                if match is None and index is not None:
                    match = index.match(ngrams.words_of(sample), payload.policy)
                    reason = "contaminated-text"
                if match is not None:
                    found.append(
                        Removal(
                            part=unit.name,
                            row=row,
                            id=sample.id,
                            stage="decontaminate",
                            reason=reason,
                            detail=match[1],
                            kept_id=match[0],
                        )
                    )
            start += file.metadata.row_group(group).num_rows
    removals.write(context.out / f"{unit.name}{removals.SUFFIX}", found)
    return Result(accounting=RowAccounting(), stats={"removals": len(found)})


def _media_match(
    media: Sequence[object], held: Mapping[str, str], clusters: Clusters
) -> tuple[str, str] | None:
    for medium in media:
        digest = str(getattr(medium, "digest", ""))
        if digest and (found := held.get(clusters.canonical.get(digest, digest))):
            return found, clusters.why([digest]) or "the same bytes"
    return None


STAGE = Stage(name="contamination", version=2, run=_run)


def units(
    workspace: Workspace,
    measured: Folder,
    corpus_input: DedupInput,
    against: Against,
    policy: Decontaminate,
    *,
    index: Folder | None,
    clusters: Folder | None,
) -> list[Unit[Payload]]:
    """Return one unit a part of the corpus."""
    depends = input_digests([corpus_input]) | against.inputs(workspace)
    for name, folder in (("index", index), ("clusters", clusters)):
        if folder is not None:
            depends[name] = stage_record(folder).digest
    return [
        Unit(
            name=part,
            inputs=depends,
            params=_params(policy),
            payload=Payload(
                workspace=workspace.url,
                measured=measured.url,
                corpus_input=corpus_input,
                index=index.url if index else "",
                clusters=clusters.url if clusters else "",
                against=against,
                policy=policy,
            ),
        )
        for part in corpus_input.parts()
    ]
