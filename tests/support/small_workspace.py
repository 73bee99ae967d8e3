"""Small curated workspaces with images, clips, text and a selection, built in a second."""

import io
from collections.abc import Sequence

import av
import numpy as np
import pyarrow.parquet as pq
import xxhash
from msgspec import structs
from PIL import Image
from tests.support.selections import Row, put_mixture

from smolmix.accounting import RowAccounting
from smolmix.engine.run import run_stage
from smolmix.engine.stage import Result, RunOptions, Stage, Unit, UnitContext
from smolmix.mixtures.selection.lock import CorpusLock
from smolmix.sample import Media, MediaRef, Sample, turns_of
from smolmix.schema import to_table
from smolmix.workspace import Workspace, stage_record

NANO = {"preset": "nano", "style": "inference"}  # the profile of every mixture built here


def image_bytes(width: int, height: int, seed: int, kind: str = "PNG") -> bytes:
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8))
    stream = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(stream, kind)
    return stream.getvalue()


def clip_bytes(frames: int, fps: int = 8, size: tuple[int, int] = (64, 48)) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=fps)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.options = {"g": "12"}
        for i in range(frames):
            shade = np.full((size[1], size[0], 3), (i * 255) // max(1, frames - 1), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(video.encode(None))
    return stream.getvalue()


def put_media(workspace: Workspace, name: str, data: bytes) -> tuple[MediaRef, str]:
    uri = f"raw/made/{name}"
    workspace.write_bytes(uri, data)
    return MediaRef(uri=uri), xxhash.xxh3_128_hexdigest(data)


def image_medium(workspace: Workspace, seed: int, width: int = 64, height: int = 48) -> Media:
    data = image_bytes(width, height, seed)
    ref, digest = put_media(workspace, f"{seed}-{width}x{height}.png", data)
    return Media(
        kind="image", refs=(ref,), digest=digest, format="png", width=width, height=height,
        bytes_on_disk=len(data),
    )  # fmt: skip


def clip_medium(workspace: Workspace, frames: int, fps: int = 8) -> Media:
    ref, digest = put_media(workspace, f"clip-{frames}.mp4", clip_bytes(frames, fps))
    return Media(
        kind="video", refs=(ref,), digest=digest, format="h264", width=64, height=48,
        frames=frames, fps=float(fps), duration_s=frames / fps,
    )  # fmt: skip


def sample(key: int, corpus: str, media: Sequence[Media] = (), **changes: object) -> Sample:
    modality = "text"
    if media:
        modality = "image" if media[0].kind == "image" else "video"
        modality = "multi-image" if len(media) > 1 else modality
    one = Sample(
        id=f"{corpus}/{key}",
        corpus=corpus,
        modality=modality,  # type: ignore[arg-type]  # any text, not a literal
        category="vqa" if media else "text",
        turns=turns_of(
            ("user", [*range(len(media)), f"What is {key}?"]),
            ("assistant", " ".join([f"It is {key}."] * (1 + key % 7))),
        ),
        media=tuple(media),
        licence="cc0",
        source_file=f"raw/{corpus}",
        source_row=key,
    )
    return structs.replace(one, **changes)


def _write(unit: Unit[tuple[Sample, ...]], context: UnitContext) -> Result:
    samples = unit.payload
    pq.write_table(to_table(samples), context.out / f"{unit.name}.parquet", row_group_size=16)
    return Result(accounting=RowAccounting(samples=len(samples), kept=len(samples)))


_CURATE = Stage(name="curate", version=1, run=_write)


def put_curated(workspace: Workspace, corpus: str, samples: Sequence[Sample]) -> None:
    half = (len(samples) + 1) // 2
    units = [
        Unit(
            name=f"part-{i:05d}",
            inputs={"samples": xxhash.xxh3_64_hexdigest(repr(rows).encode())},
            params={},
            payload=tuple(rows),
        )
        for i, rows in enumerate((samples[:half], samples[half:]))
        if rows
    ]
    run_stage(_CURATE, units, folder=workspace.curated(corpus), options=RunOptions(quiet=True))


def put_selection(workspace: Workspace, mixture: str, corpora: Sequence[str], seed: int = 0) -> int:
    rows: list[Row] = []
    for corpus in corpora:
        for part in workspace.curated(corpus).names(".parquet"):
            ids = pq.read_table(workspace.curated(corpus).local(part), columns=["id"])["id"]
            for row, key in enumerate(ids.to_pylist()):
                rows.append((key, corpus, part.removesuffix(".parquet"), row, 0))
    order = np.random.default_rng(seed).permutation(len(rows))
    locked = {
        c: CorpusLock(curated=stage_record(workspace.curated(c)).digest, counts="") for c in corpora
    }
    put_mixture(
        workspace.mixture(mixture),
        [rows[i] for i in order],
        corpora=locked,
        spec={"profile": NANO},
        seed=seed,
    )
    return len(rows)


def fill(workspace: Workspace) -> Workspace:
    """Two corpora, four modalities, seven conversations on one clip; mixture `m`."""
    clip, other = clip_medium(workspace, 40), clip_medium(workspace, 5)
    images = [image_medium(workspace, i, 20 + 9 * i, 30 + 5 * i) for i in range(6)]
    seen = [sample(i, "seen", [images[i % 6]]) for i in range(24)]
    seen += [sample(100 + i, "seen", [images[i], images[i + 1]]) for i in range(4)]
    seen += [sample(200 + i, "seen", [clip]) for i in range(7)]
    seen += [sample(300, "seen", [other])]
    prose = "The quick brown fox jumps over the lazy dog. "
    said = [sample(i, "said") for i in range(30)]
    said += [
        sample(i, "said", turns=turns_of(("assistant", prose * 60)), category="document")
        for i in range(30, 33)
    ]
    put_curated(workspace, "seen", seen)
    put_curated(workspace, "said", said)
    put_selection(workspace, "m", ["seen", "said"])
    return workspace
