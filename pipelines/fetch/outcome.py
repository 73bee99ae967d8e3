"""Compares what a corpus is declared to be with what its first rows give, when it is fetched."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from smolmix.errors import DataError, UsageError
from smolmix.fetched import FetchRecord
from smolmix.pipelines.sources.catalogue import CAPTIONS
from smolmix.pipelines.sources.raw_units import Adapted, RawUnit, raw_units, read_unit
from smolmix.pipelines.sources.source import Source
from smolmix.pipelines.sources.user_rows import UserRow
from smolmix.workspace import Workspace

_ROWS = 50
_FEW = 2  # rows whose media are missing, below which nothing is concluded
_ENTRIES = 200_000  # of the user's folder of media, searched for a missing file


def check_outcome(
    source: Source, workspace: Workspace, record: FetchRecord, say: Callable[[str], None]
) -> None:
    """Refuse a corpus that is not what it is declared to be; report keys that are not read.

    Raises:
        UsageError: --limit took only held-out rows.
        DataError: a user's corpus gives no sample of its declared modality, none of the media of
            its first rows exist, or `heldout` matches nothing or everything.
    """
    if source.role != "user" and not (source.heldout and record.limit is not None):
        return
    units = raw_units(source, workspace, record)
    _check_splits(source, workspace, record, units)
    if source.role != "user":
        return
    rows = list(islice(_rows(source, workspace, units), _ROWS))
    named = sum(1 for row in rows if any(s.media for s in row.samples) or _lost(row))
    lost = [name for row in rows for name in _lost(row)]
    if named >= _FEW and not any(s.media for row in rows for s in row.samples):
        raise DataError(
            f"{source.id}: none of the media that the first {len(rows)} rows name exist, such as "
            f"{lost[0]}{_where(lost, record)}; correct `media` in the catalogue"
        )
    _check_modality(source, record, rows)
    keys = Counter(key for row in rows for key in row.unread)
    if keys:
        told = ", ".join(f"{key} ({n})" for key, n in sorted(keys.items()))
        say(f"keys not read in the first {len(rows)} rows: {told}")
    dropped = Counter(d.reason for row in rows for d in row.dropped)
    if dropped:
        told = ", ".join(f"{n} {reason}" for reason, n in dropped.most_common())
        example = next(d for row in rows for d in row.dropped)
        say(f"{told} in the first {len(rows)} rows, such as {example.detail or example.id}")


def _rows(source: Source, workspace: Workspace, units: Sequence[RawUnit]) -> Iterator[Adapted]:
    for unit in units:
        yield from read_unit(source, unit, workspace, range(_ROWS))


def _lost(row: Adapted) -> list[str]:
    return [d.detail for d in row.dropped if d.reason == "media-missing"]


def _check_splits(
    source: Source, workspace: Workspace, record: FetchRecord, units: Sequence[RawUnit]
) -> None:
    declared = str((record.catalogue or {}).get("heldout", ""))
    if source.rows_in == (CAPTIONS,) and declared and isinstance(source.adapt, UserRow):
        names = [
            str(raw.values.get("image"))
            for unit in units
            for raw in source.format.read(unit.rows, workspace)
            if isinstance(raw.values, dict)
        ]
        held = [name for name in names if re.search(declared, name)]
        what = "media"
    else:
        names = [record.published_path(path) for unit in units for path in unit.rows.paths]
        held = [name for name in names if source.split(name) == "heldout"]
        what = "files of rows"
    if not names or not source.heldout + declared:
        return
    if len(held) == len(names) and record.limit is not None and not record.scope.get("files"):
        raise UsageError(
            f"{source.id}: --limit {record.limit} takes only held-out rows ({held[0]}); raise "
            "--limit, or name files of training rows with --files"
        )
    if source.role == "user" and record.limit is None and len(held) in (0, len(names)):
        shown = ", ".join(sorted(set(names))[:3])
        raise DataError(
            f"{source.id}: heldout {declared!r} matches {'all' if held else 'none'} of the "
            f"{len(names):,} {what}, such as {shown}; correct `heldout` in the catalogue"
        )


def _check_modality(source: Source, record: FetchRecord, rows: Sequence[Adapted]) -> None:
    declared = str((record.catalogue or {}).get("modality", ""))
    found = Counter(s.modality for row in rows for s in row.samples)
    if not declared or not found:
        return
    images = ("image", "multi-image")
    fits = images if declared in images else (declared,)
    if not any(modality in fits for modality in found):
        told = ", ".join(f"{n} {modality}" for modality, n in found.most_common())
        keys = sorted({key for row in rows for key in row.unread})
        raise DataError(
            f"{source.id}: declared `modality: {declared}`, but the first {len(rows)} rows give "
            f"{told} samples{'; keys not read: ' + ', '.join(keys) if keys else ''}; correct "
            "`modality` in the catalogue, or name the media under `image`, `images` or `video`"
        )


def _where(lost: Sequence[str], record: FetchRecord) -> str:
    """Return where files of the missing names are, as the end of a sentence."""
    folder = record.media.folder if record.media else ""
    if not folder or "://" in folder:
        return ""
    names = {name.rpartition("/")[2]: name for name in lost}
    seen = 0
    for place, _, files in os.walk(folder):
        for name in names.keys() & set(files):
            found = os.path.relpath(os.path.join(place, name), folder)
            return f"; {folder} has {found}, which the rows name {names[name]}"
        seen += len(files)
        if seen > _ENTRIES:
            break
    return f"; {folder} has no file of such a name"
