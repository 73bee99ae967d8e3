"""Verdicts across corpora: duplicates of, and contamination by, samples of another corpus."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet as pq

from smolmix.errors import IncompleteError
from smolmix.storage import Folder, digest_json
from smolmix.workspace import STAGE_FILE, Workspace, part_files, stage_record


def _sets(workspace: Workspace) -> list[Folder]:
    here = workspace.child("verdicts")
    if not here.exists():
        return []
    found = (p.rstrip("/").rsplit("/", 1)[-1] for p in here.fs.ls(here.path, detail=False))
    return [here.child(name) for name in sorted(found) if here.child(name).exists(STAGE_FILE)]


def across_corpora(workspace: Workspace, corpora: Iterable[str]) -> tuple[pa.Array, str]:
    """Return the ids that leave a mixture of these corpora, and the digest of the verdicts.

    A set of verdicts names its corpora (`info.corpora` of its stage record) and is applied to a
    mixture of exactly these: a copy leaves only where the other copy is in the mixture.

    Args:
        workspace: holds `verdicts/<set>/`, or none.
        corpora: those of the mixture.

    Raises:
        IncompleteError: a corpus was curated anew since: the copy that stays may be gone by now.
    """
    wanted = sorted(set(corpora))
    ids: list[pa.Array] = []
    digests: dict[str, str] = {}
    for folder in _sets(workspace):
        record = stage_record(folder)
        if sorted(record.info.get("corpora", ())) != wanted:
            continue
        for corpus, then in sorted(record.info.get("curated", {}).items()):
            if stage_record(workspace.curated(corpus)).digest != then:
                raise IncompleteError(
                    f"{folder.url}: {corpus} was curated anew since these verdicts; run "
                    f"`smolmix curate {' '.join(wanted)} --across` again, or delete the folder"
                )
        digests[folder.name] = record.digest
        for name in part_files(folder):
            with folder.open(name) as stream:
                ids.extend(pq.read_table(stream, columns=["id"])["id"].chunks)
    out = pa.concat_arrays(ids) if ids else pa.array([], pa.string())
    return out, digest_json(digests) if digests else ""
