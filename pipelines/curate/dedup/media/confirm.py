"""Stage "confirm": candidate pairs of media, decided by their pixels.

Units are partitions of the pairs. Thumbnails settle nearly all; only what they cannot tell apart
is decoded again, and then at up to 768 px.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from PIL import Image, ImageOps

from smolmix.accounting import RowAccounting
from smolmix.engine.stage import Result, Stage, Unit, UnitContext
from smolmix.errors import DataError
from smolmix.media import MediaReader
from smolmix.pipelines.curate.dedup.clusters import SUFFIX, UnionFind
from smolmix.pipelines.curate.dedup.media import candidates, dense_buckets, pixels
from smolmix.pipelines.curate.dedup.media.tables import MediaTables
from smolmix.pipelines.curate.measure import fingerprints
from smolmix.pipelines.curate.measure.images import read_image
from smolmix.pipelines.curate.measure.media_features import MediaFeatures
from smolmix.pipelines.curate.measure.videos import PROBES, probes, read_video
from smolmix.pipelines.curate.settings import Dedup
from smolmix.pipelines.curate.steps import Steps
from smolmix.sample import MediaRef
from smolmix.storage import Folder, digest_json
from smolmix.workspace import Workspace, manifests, part_files, stage_record

PARTITION_PAIRS = 50_000
_FRAMES_ALIKE = 0.75  # of the sampled frames
_DECODE_PX = 1024
_HELD_PX = 32_000_000  # of decoded thumbnails, 3 bytes each: 2,000 large pictures, 8,000 of 64 px

SCHEMA = pa.schema([("one", pa.string()), ("other", pa.string()), ("how", pa.string())])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmInput:
    """A partition of the candidate pairs."""

    workspace: str
    pairs: str
    dense: str
    media: MediaTables
    partition: int
    partitions: int
    dedup: Dedup


def _pairs(payload: ConfirmInput) -> pl.DataFrame:
    """Return the partition's pairs, of each medium nearest first, each once, plain before mirrored.

    Of two media of a dense bucket only the pairs that the bucket's own search proposes.
    """
    folder_of_dense = Folder(payload.dense)
    dense = {
        name.removeprefix("dense-").partition(".")[0]: _digests(folder_of_dense, name)
        for name in part_files(folder_of_dense, candidates.DENSE_SUFFIX)
    }
    frames = [pl.DataFrame(schema=pl.Schema(candidates.SCHEMA))]
    for folder in (folder_of_dense, Folder(payload.pairs)):
        for name in part_files(folder, candidates.SUFFIX):
            with folder.open(name) as stream:
                for batch in pq.ParquetFile(stream).iter_batches():
                    frame = pl.DataFrame(batch)
                    mine = frame["one"].map_elements(_hash, return_dtype=pl.UInt64)
                    frame = frame.filter(mine % payload.partitions == payload.partition)
                    if folder is not folder_of_dense and len(frame):
                        inside = dense[str(frame["kind"][0])]
                        ends = (pl.col(end).is_in(inside.implode()) for end in ("one", "other"))
                        frame = frame.filter(~pl.all_horizontal(ends))
                    frames.append(frame)
    order = ["one", "bits", "mirrored", "other"]  # so that of a pair one is at hand
    return (
        pl.concat(frames)
        .sort(order)
        .unique(["one", "other", "mirrored"], keep="first", maintain_order=True)
    )


def _digests(folder: Folder, name: str) -> pl.Series:
    with folder.open(name) as stream:
        return pl.read_parquet(stream)["digest"]


def _hash(digest: str) -> int:
    return xxhash.xxh3_64_intdigest(digest.encode())


def _px(pictures: list[Image.Image]) -> int:
    return sum(p.width * p.height for p in pictures)


class _Comparer:
    """Compares media of one partition."""

    def __init__(self, payload: ConfirmInput, features: Mapping[str, MediaFeatures]):
        self._dedup = payload.dedup
        self._features = features
        self._reader = MediaReader(Workspace(payload.workspace))
        self._thumbnails: OrderedDict[str, list[Image.Image]] = OrderedDict()
        self._held_px = 0
        self.opened = 0

    def _frames(self, medium: MediaFeatures) -> list[Image.Image]:
        """Return the stored thumbnails; those of the last few media are cached decoded."""
        if medium.digest not in self._thumbnails:
            found = self._thumbnails[medium.digest] = fingerprints.pictures(medium.thumbnails)
            self._held_px += _px(found)
            while self._held_px > _HELD_PX and len(self._thumbnails) > 1:
                self._held_px -= _px(self._thumbnails.popitem(last=False)[1])
        return self._thumbnails[medium.digest]

    def images(self, one: str, other: str, mirrored: bool) -> str:
        """Return how two images are the same, or ""."""
        first, second = self._features[one], self._features[other]
        a, b = self._frames(first)[0], self._frames(second)[0]
        if mirrored:
            b = ImageOps.mirror(b)
        note = "mirrored, " if mirrored else ""
        longest = [max(m.width, m.height) for m in (first, second)]
        if min(longest) < self._dedup.images.min_edge_px:
            if (first.width, first.height) != (second.width, second.height):
                return ""
            found = pixels.compare_small(a, b)
            if not found.same or a.size == (first.width, first.height):
                return f"{note}{found}" if found.same else ""
            hint = pixels.Crop()
        else:
            found = pixels.compare_thumbnails(a, b)
            if not found.same:
                return ""
            hint = found.crop
        whole = self._decoded(first), self._decoded(second)
        if whole[0] is None or whole[1] is None:
            return ""
        b = ImageOps.mirror(whole[1]) if mirrored else whole[1]
        found = pixels.compare(whole[0], b, hint)
        return f"{note}{found}" if found.same else ""

    def _decoded(self, medium: MediaFeatures) -> Image.Image | None:
        return read_image(self._read(medium.refs[0]), decode_px=_DECODE_PX).pixels

    def _read(self, ref: MediaRef) -> bytes:
        """Return the bytes of a medium that existed when it was measured.

        Raises:
            DataError: it is gone, so whether it is a copy cannot be decided.
        """
        self.opened += 1
        try:
            return self._reader.read(ref)
        except (DataError, OSError) as error:
            raise DataError(
                f"{error}; it existed when it was measured; fetch its corpus again to compare it"
            ) from error

    def videos(self, one: str, other: str, mirrored: bool) -> str:
        """Return how two videos are the same, or ""."""
        first, second = self._features[one], self._features[other]
        longest = max(first.duration_s, second.duration_s)
        gap = abs(first.duration_s - second.duration_s)
        if gap > self._dedup.videos.max_length_gap * longest:
            return ""
        pairs = list(zip(self._frames(first), self._frames(second), strict=False))
        if min(len(pairs), PROBES) < 1:
            return ""
        needed = _FRAMES_ALIKE * max(len(self._frames(first)), len(self._frames(second)))
        small = min(max(k.width, k.height) for k in (first, second))
        compare = (
            pixels.compare_small
            if small < self._dedup.images.min_edge_px
            else pixels.compare_thumbnails
        )

        def turned(image: Image.Image) -> Image.Image:
            return ImageOps.mirror(image) if mirrored else image

        alike = list[tuple[int, pixels.Crop]]()
        for number, (a, b) in enumerate(pairs):
            if len(alike) + len(pairs) - number < needed:
                return ""
            if (found := compare(a, turned(b))).same:
                alike.append((number, found.crop))
        if compare is pixels.compare_thumbnails and len(alike) >= needed:
            whole = self._clip(first), self._clip(second)
            if min(map(len, whole)) < len(pairs):
                return ""
            alike = [
                (number, crop)
                for number, crop in alike
                if pixels.compare(whole[0][number], turned(whole[1][number]), crop).same
            ]
        if len(alike) < needed:
            return ""
        return f"{'mirrored, ' if mirrored else ''}{len(alike)} of {len(pairs)} frames alike"

    def shown(self, one: str, other: str, mirrored: bool) -> str:
        """Return how a clip shows a picture, or ""; either of the two may be the clip."""
        picture, clip = sorted(
            (self._features[one], self._features[other]), key=lambda k: k.kind != "image"
        )
        asked, frames = self._frames(picture)[0], self._frames(clip)
        if mirrored:
            asked = ImageOps.mirror(asked)
        thumbnails = [pixels.compare_thumbnails(asked, frame) for frame in frames]
        if not any(t.same for t in thumbnails):
            return ""
        whole, decoded = self._decoded(picture), self._clip(clip)
        if whole is None or len(decoded) < len(frames):
            return ""
        if mirrored:
            whole = ImageOps.mirror(whole)
        for number, (thumb, frame) in enumerate(zip(thumbnails, decoded, strict=True)):
            if thumb.same and (found := pixels.compare(whole, frame, thumb.crop)).same:
                return f"frame {number + 1} of {len(frames)} sampled, {found}"
        return ""

    def _clip(self, medium: MediaFeatures) -> tuple[Image.Image, ...]:
        """Return the sampled frames, at up to `_DECODE_PX`."""
        if medium.kind == "frames":
            refs = [medium.refs[i] for i in probes(len(medium.refs))]
            facts = [read_image(self._read(r), decode_px=_DECODE_PX) for r in refs]
            return tuple(f.pixels for f in facts if f.pixels is not None)
        return read_video(self._read(medium.refs[0]), decode_px=_DECODE_PX).sampled


def _run(unit: Unit[ConfirmInput], context: UnitContext) -> Result:
    payload = unit.payload
    pairs = _pairs(payload)
    features = payload.media.features({*pairs["one"], *pairs["other"]} if len(pairs) else set())
    comparer, union, rows = _Comparer(payload, features), UnionFind(), list[dict[str, str]]()
    compare = {"image": comparer.images, "video": comparer.videos, "frame": comparer.shown}
    for one, other, kind, mirrored, _ in pairs.iter_rows():
        if union.find(one) == union.find(other):
            continue
        if how := compare[kind](one, other, mirrored):
            union.join(one, other)
            rows.append({"one": one, "other": other, "how": how})
    pq.write_table(
        pa.Table.from_pylist(rows, schema=SCHEMA),
        context.out / f"{unit.name}{SUFFIX}",
        compression="zstd",
    )
    stats = {"proposed": len(pairs), "opened": comparer.opened, "same": len(rows)}
    return Result(accounting=RowAccounting(), stats=stats)


STAGE = Stage(name="confirm", version=5, run=_run, timeout_s=3600.0)


def units(
    workspace: Workspace, pairs: Folder, dense: Folder, media: MediaTables, dedup: Dedup
) -> list[Unit[ConfirmInput]]:
    """Return one unit a partition of the proposed pairs."""
    proposed = sum(int(m.stats["pairs"]) for f in (pairs, dense) for m in manifests(f))
    count = max(1, -(-proposed // PARTITION_PAIRS))
    return [
        Unit(
            name=f"confirm-{number:05d}",
            inputs={
                "pairs": stage_record(pairs).digest,
                "dense buckets": stage_record(dense).digest,
            }
            | media.digests(),
            params={
                "partitions": count,
                "images": dedup.images.model_dump(mode="json"),
                "videos": dedup.videos.model_dump(mode="json"),
            },
            payload=ConfirmInput(
                workspace=workspace.url,
                pairs=pairs.url,
                dense=dense.url,
                media=media,
                partition=number,
                partitions=count,
                dedup=dedup,
            ),
        )
        for number in range(count)
    ]


def step_name(name: str, dedup: Dedup) -> str:
    """Return the name of a comparison of media: one for each way to compare, for all policies."""
    settings = dedup.images, dedup.videos, dedup.dense_buckets
    digest = digest_json([s.model_dump(mode="json") for s in settings])
    return f"{name}-{digest[:8]}"


def find(
    steps: Steps,
    name: str,
    media: MediaTables,
    dedup: Dedup,
    *,
    against: MediaTables | None = None,
) -> Folder | None:
    """Find media that show the same picture or clip; None where there are none to compare.

    Args:
        steps: how steps run; policies that compare in the same way share the result.
        name: of the corpus, or of the set of corpora.
        media: the media to compare.
        dedup: how they are compared.
        against: if given, only pairs of one of these and one of `media`.
    """
    steps, name = steps.shared(), step_name(name, dedup)
    searches = candidates.units(media, dedup, against)
    if not searches:
        return None
    pairs = steps.run(candidates.STAGE, searches, name)
    buckets = dense_buckets.units(pairs, media, dedup, against)
    dense = steps.run(dense_buckets.STAGE, buckets, name)
    every = media + against if against else media
    return steps.run(STAGE, units(steps.workspace, pairs, dense, every, dedup), name)
