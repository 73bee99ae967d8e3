"""Steps "benchmarks" and "contamination": index what is held back, then search for it.

A sample is contaminated if it contains enough n-grams of a benchmark's text, or shows a
benchmark's picture or clip. The removal names the benchmark's sample.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from smolmix import removals
from smolmix.accounting import RowAccounting
from smolmix.curated import part_names, read_batches, read_samples
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.errors import DataError, UsageError
from smolmix.pipelines.curate.decontaminate import ngrams
from smolmix.pipelines.curate.dedup.clusters import Clusters
from smolmix.pipelines.curate.dedup.inputs import DedupInput, input_digests
from smolmix.pipelines.curate.dedup.media import confirm
from smolmix.pipelines.curate.dedup.media.tables import MediaTables
from smolmix.pipelines.curate.dedup.text.shingles import Hashes, length, words
from smolmix.pipelines.curate.settings import Decontaminate, Dedup
from smolmix.pipelines.curate.steps import Steps
from smolmix.removals import Removal
from smolmix.sample import Media
from smolmix.schema import from_table
from smolmix.storage import Folder, digest_file
from smolmix.workspace import Workspace, stage_record

INDEX = "texts.npz"
_UNIT = "index-00000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmarks:
    """What training data must not contain: measured benchmark corpora, and a user's files."""

    corpora: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.corpora or self.files)

    def digests(self, workspace: Workspace) -> dict[str, str]:
        """Return what a unit that reads them depends on."""
        found = {f"benchmark {c}": stage_record(workspace.measured(c)).digest for c in self.corpora}
        for number, name in enumerate(self.files):
            with open(name, "rb") as stream:
                found[f"file {number}"] = digest_file(stream)
        return found


def check_files(files: Sequence[str]) -> None:
    """Refuse files that contain no texts.

    Raises:
        UsageError: a file does not exist, or is neither .txt nor .jsonl.
    """
    wanted = 'a .txt of one text a line, or a .jsonl of {"text": ..., "id": ...}'
    for name in files:
        if not Path(name).is_file():
            raise UsageError(f"--contamination-set {name}: no such file; give {wanted}")
        if Path(name).suffix not in (".txt", ".jsonl"):
            raise UsageError(
                f"--contamination-set {name}: {Path(name).suffix or 'no ending'}; give {wanted}"
            )


def benchmarks_for(workspace: Workspace, corpus: str, files: Sequence[str] = ()) -> Benchmarks:
    """Return every measured corpus of role benchmark but `corpus` itself, and the files.

    Raises:
        UsageError: a file does not exist, or is neither .txt nor .jsonl.
    """
    check_files(files)
    corpora = [
        c
        for c in workspace.corpora("measured")
        if stage_record(workspace.measured(c)).info.get("role") == "benchmark"
    ]
    if corpus in corpora:
        return Benchmarks()  # one benchmark is not searched for another
    return Benchmarks(corpora=tuple(corpora), files=tuple(map(str, files)))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexInput:
    """The benchmarks to index."""

    workspace: str
    benchmarks: Benchmarks
    settings: Decontaminate


def _corpus_texts(workspace: Workspace, corpus: str) -> Iterator[tuple[str, Hashes]]:
    for sample in read_samples(workspace.measured(corpus)):
        words_said = ngrams.words_of(sample)
        if not sample.media or length(words_said) >= ngrams.MIN_WORDS_WITH_MEDIA:
            yield sample.id, words_said


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


def _run_index(unit: Unit[IndexInput], context: UnitContext) -> Result:
    payload = unit.payload
    workspace = Workspace(payload.workspace)

    def texts() -> Iterator[tuple[str, Hashes]]:
        for corpus in payload.benchmarks.corpora:
            yield from _corpus_texts(workspace, corpus)
        for name in payload.benchmarks.files:
            yield from _file_texts(name)

    index = ngrams.Index.build(texts(), payload.settings)
    with open(context.out / f"{unit.name}.{INDEX}", "wb") as stream:
        index.save(stream)
    return Result(
        accounting=RowAccounting(), stats={"texts": len(index.ids), "ngrams": len(index.grams)}
    )


INDEX_STAGE = Stage(name="benchmarks", version=3, run=_run_index)


def _index(steps: Steps, corpus: str, benchmarks: Benchmarks, settings: Decontaminate) -> Folder:
    """Index the benchmarks' texts; return the folder of the index."""
    unit = Unit(
        name=_UNIT,
        inputs=benchmarks.digests(steps.workspace),
        params=_params(settings),
        payload=IndexInput(workspace=steps.workspace.url, benchmarks=benchmarks, settings=settings),
    )
    return steps.run(INDEX_STAGE, [unit], corpus)


def _params(settings: Decontaminate) -> dict[str, object]:
    return {"settings": settings.model_dump(mode="json")}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContaminationInput:
    """A corpus, and what it must not contain."""

    workspace: str
    measured: str
    corpus_input: DedupInput
    index: str  # folder, or ""
    clusters: str  # media pairs with the benchmarks, or ""
    benchmarks: Benchmarks
    settings: Decontaminate


def _held_back_media(folder: Folder, clusters: Clusters, *, heldout_only: bool) -> dict[str, str]:
    """Return cluster of each held-back medium -> id of a sample that shows it."""
    found: dict[str, str] = {}
    for part in part_names(folder):
        for table in read_batches(folder, part, ["id", "split", "media"]):
            for row in table.to_pylist():
                if heldout_only and row["split"] != "heldout":
                    continue
                for medium in row["media"]:
                    if digest := medium["digest"]:
                        found.setdefault(clusters.canonical.get(digest, digest), row["id"])
    return found


def _held_back(payload: ContaminationInput, clusters: Clusters) -> dict[str, str]:
    workspace, found = Workspace(payload.workspace), dict[str, str]()
    if payload.settings.images:
        for corpus in payload.benchmarks.corpora:
            folder = workspace.measured(corpus)
            found = _held_back_media(folder, clusters, heldout_only=False) | found
    if payload.settings.heldout == "image":
        folder = Folder(payload.measured)
        found = _held_back_media(folder, clusters, heldout_only=True) | found
    return found


def _run(unit: Unit[ContaminationInput], context: UnitContext) -> Result:
    payload = unit.payload
    clusters = Clusters.load(Folder(payload.clusters)) if payload.clusters else Clusters({})
    held_back = _held_back(payload, clusters)
    index = None
    if payload.index:
        with Folder(payload.index).open(f"{_UNIT}.{INDEX}") as stream:
            index = ngrams.Index.load(stream)
    kept = set(payload.corpus_input.frame(unit.name, [], split="train")["row"].to_list())
    found, start = list[Removal](), 0
    for table in read_batches(Folder(payload.measured), unit.name):
        for row, sample in enumerate(from_table(table), start):
            if row not in kept:
                continue
            match = _media_match(sample.media, held_back, clusters)
            reason = "contaminated-media"
            if match is None and index is not None:
                match = index.match(ngrams.words_of(sample), payload.settings)
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
        start += table.num_rows
    removals.write(context.out / f"{unit.name}{removals.SUFFIX}", found)
    return Result(accounting=RowAccounting(), stats={"removals": len(found)})


def _media_match(
    media: Sequence[Media], held_back: Mapping[str, str], clusters: Clusters
) -> tuple[str, str] | None:
    for medium in media:
        digest = medium.digest
        if digest and (found := held_back.get(clusters.canonical.get(digest, digest))):
            return found, clusters.why([digest]) or "the same bytes"
    return None


STAGE = Stage(name="contamination", version=3, run=_run)


def find(
    steps: Steps,
    corpus_input: DedupInput,
    dedup: Dedup,
    settings: Decontaminate,
    *,
    files: Sequence[str] = (),
) -> Folder | None:
    """Find contaminated samples; return the folder of their removals, None if nothing to search.

    Args:
        steps: how steps run.
        corpus_input: the corpus, and what earlier steps removed of it.
        dedup: how media are compared.
        settings: which parts of benchmarks must not be in the corpus.
        files: texts that must not be in it, in addition to the measured benchmarks.
    """
    workspace, corpus = steps.workspace, corpus_input.corpus
    benchmarks = benchmarks_for(workspace, corpus, files)
    if not settings.enabled or not (benchmarks or settings.heldout == "image"):
        return None
    measured = workspace.measured(corpus)
    depends = input_digests([corpus_input]) | benchmarks.digests(workspace)
    index = _index(steps, corpus, benchmarks, settings) if benchmarks else None
    clusters, mine = None, MediaTables(urls=(measured.url,))
    if benchmarks.corpora and settings.images:
        others = MediaTables(urls=tuple(workspace.measured(c).url for c in benchmarks.corpora))
        clusters = confirm.find(steps, f"{corpus}-benchmarks", mine, dedup, against=others)
    elif settings.heldout == "image":  # the corpus's own media, which "exact" compared already
        clusters = confirm.find(steps, corpus, mine, dedup)
    for name, folder in (("index", index), ("clusters", clusters)):
        if folder is not None:
            depends[name] = stage_record(folder).digest
    units = [
        Unit(
            name=part,
            inputs=depends,
            params=_params(settings),
            payload=ContaminationInput(
                workspace=workspace.url,
                measured=measured.url,
                corpus_input=corpus_input,
                index=index.url if index else "",
                clusters=clusters.url if clusters else "",
                benchmarks=benchmarks,
                settings=settings,
            ),
        )
        for part in corpus_input.parts()
    ]
    return steps.run(STAGE, units, corpus)
