"""Verifies a packing plan: every file's digest, and a sample of rows computed again."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from smolmix import curated
from smolmix.errors import IntegrityError, SmolmixError
from smolmix.media import MediaReader
from smolmix.mixtures.selection.reader import current_selection
from smolmix.pipelines.pretokenize.tiles import tiles_row
from smolmix.sample import Sample
from smolmix.storage import Folder
from smolmix.tokenize.chat import encode, tokenizer
from smolmix.tokenize.loader import SequenceDataset
from smolmix.tokenize.shards.packing_plan import PackedDocument, PackingRecord, withdraw_if_damaged
from smolmix.workspace import Workspace, verify_files


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was compared; all of it was equal."""

    files: int  # compared by digest
    checked_rows: int  # documents whose ids and tiles were computed again


def stages_of(workspace: Workspace, record: PackingRecord) -> list[Folder]:
    """Return the cache generations that a plan refers to."""
    found = {str(PurePosixPath(s).parent) for s in (*record.ids_shards, *record.tile_shards)}
    return [workspace.child(name) for name in sorted(found)]


def verify(
    folder: Folder, workspace: Workspace, *, sample: float = 0.01, seed: int = 0
) -> Verified:
    """Compare every file of a plan with its digest, and compute some rows again.

    A damaged unit is withdrawn, so that `smolmix tokenize` writes it again.

    Args:
        folder: `sequences/<mixture>/<profile>-<tokens>`.
        workspace: that holds it.
        sample: share of the sequences whose documents are computed again, 0 to 1; at least one
            sequence is.
        seed: of the choice of these sequences.

    Raises:
        IncompleteError: the folder holds no complete plan.
        IntegrityError: a file or row differs from what was written; the message names it.
        StaleError: a corpus was curated again after the mixture was built.
    """
    record = PackingRecord.read(folder)
    damaged: list[str] = []
    files = 1
    for stage in stages_of(workspace, record):
        try:
            files += verify_files(stage)
        except SmolmixError as error:
            damaged.append(str(error))
    if wrong := withdraw_if_damaged(folder, record):
        damaged.append(wrong)
    if damaged:
        raise IntegrityError("; ".join(damaged))
    dataset = SequenceDataset(workspace, folder)
    rng = np.random.default_rng(seed)
    count = max(1, round(sample * len(dataset)))
    chosen = sorted(rng.choice(len(dataset), count, replace=False).tolist())
    return Verified(files=files, checked_rows=_compute_again(dataset, workspace, chosen))


def _compute_again(dataset: SequenceDataset, workspace: Workspace, chosen: list[int]) -> int:
    record = dataset.record
    selection = current_selection(workspace, record.mixture).samples
    documents: list[PackedDocument] = [d for i in chosen for d in dataset.plan.documents(i)]
    wanted: dict[tuple[str, str], dict[int, PackedDocument]] = {}
    for document in documents:
        place = selection.row(document.sample, named=True)
        wanted.setdefault((place["corpus"], place["part"]), {})[place["row"]] = document
    reader, vocabulary = MediaReader(workspace), tokenizer.load(record.profile.chat.tokenizer)
    checked = 0
    for (corpus, part), rows in sorted(wanted.items()):
        for row, one in curated.read_samples_at(workspace.curated(corpus), part, sorted(rows)):
            _compare(dataset, one, rows[row], reader, vocabulary)
            checked += 1
    return checked


def _compare(
    dataset: SequenceDataset,
    sample: Sample,
    document: PackedDocument,
    reader: MediaReader,
    vocabulary: tokenizer.Vocabulary,
) -> None:
    record = dataset.record
    encoded = next(encode.encode([sample], record.profile, vocabulary))
    stored = dataset.ids_row(document)
    where = record.ids_shards[document.ids_shard]
    if encoded.input_ids.tolist() != stored.input_ids.tolist() or encoded.spans != stored.spans:
        raise IntegrityError(
            f"{where}: row {document.ids_row} is not what {sample.id} encodes to now; its corpus "
            "or smolmix has changed; run `smolmix tokenize` again"
        )
    for index, shard, row in zip(
        encoded.media, document.tile_shards, document.tile_rows, strict=True
    ):
        medium = sample.media[index]
        if tiles_row(medium, reader.read_all(medium), record.profile.pixel).checksum() != (
            dataset.tiles_row(shard, row).checksum()
        ):
            raise IntegrityError(
                f"{record.tile_shards[shard]}: row {row} is not what {sample.id} is cut to now; "
                "its media or smolmix has changed; delete the shard, run `smolmix tokenize` again"
            )
