"""Frames of a clip by index: one function, two backends.

The rest of smolmix decodes video through `read_frames` alone. PyAV is the default (measured in
benchmarks/tokenize); decord, through its maintained fork decord2, returns the same frames.
"""

import io
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

from smolmix.cost import clip_frames
from smolmix.errors import DataError, UsageError
from smolmix.profiles import PixelProfile
from smolmix.sample import Media
from smolmix.tokenize.tiles.clip_index import AV_ERRORS, decoded, list_packets, video_stream
from smolmix.tokenize.tiles.image import Tiles, decode, squash

Backend = Literal["pyav", "decord"]
Frame = NDArray[np.uint8]  # (height, width, 3) RGB, upright

DEFAULT_BACKEND: Backend = "pyav"
_SKIPPING = frozenset({"h264", "hevc"})  # skipping an AV1 packet changes later frames


class VideoError(DataError):
    """A clip cannot be decoded as planned; `reason` is the sample's `Dropped.reason`."""

    def __init__(self, reason: str, detail: str):
        """Take a short fixed reason and what was found."""
        super().__init__(f"video: {reason}: {detail}; its sample is dropped")
        self.reason = reason
        self.detail = detail


def clip_tiles(
    media: Media,
    blobs: Sequence[bytes],
    profile: PixelProfile,
    *,
    backend: Backend = DEFAULT_BACKEND,
) -> Tiles:
    """Return the tiles of a clip: one for each sampled frame.

    Args:
        media: a video, or a folder of numbered frames; its measured frames and rate decide which
            frames are sampled.
        blobs: the bytes of each of its references.
        profile: frame rate, maximum number of frames and tile size.
        backend: decoder of a video.

    Returns:
        (frames, tile_px, tile_px, 3) uint8.

    Raises:
        VideoError: the clip has fewer frames than measured, or cannot be decoded.
        ImageError: a numbered frame cannot be decoded.
    """
    wanted = clip_frames(media, profile)
    if not wanted:
        raise VideoError("video-empty", "no frame")
    if media.kind == "frames":
        if wanted[-1] >= len(blobs):
            raise VideoError("plan-mismatch", f"{len(blobs)} frames; measured as {media.frames}")
        frames: Iterator[Frame] = (np.asarray(decode(blobs[i], exif=profile.exif)) for i in wanted)
    else:
        frames = read_frames(blobs[0], wanted, frames=media.frames, backend=backend)
    return np.stack([squash(frame, profile) for frame in frames])


def read_frames(
    data: bytes,
    indices: Sequence[int],
    *,
    frames: int | None = None,
    backend: Backend = DEFAULT_BACKEND,
) -> Iterator[Frame]:
    """Yield the frames at the given indices, in presentation order, turned upright.

    Args:
        data: a video file.
        indices: ascending, without repeats, counted over all frames of the file.
        frames: how many frames the clip was measured to have. Where its packets say otherwise, its
            frames are counted by decoding from the start, as they were measured.
        backend: "pyav" or "decord".

    Yields:
        (height, width, 3) uint8, RGB.

    Raises:
        VideoError: an index is beyond the clip, or the bytes cannot be decoded.
        UsageError: the backend is unknown.
    """
    if backend not in _BACKENDS:
        raise UsageError(f"video backend {backend!r}; known: {', '.join(_BACKENDS)}")
    found = 0
    for frame in _BACKENDS[backend](data, list(indices), frames):
        found += 1
        yield frame
    if found != len(indices):
        raise VideoError("plan-mismatch", f"{found} of {len(indices)} frames could be decoded")


def _array(frame: Any) -> Frame:
    """Return PyAV's frame in RGB, turned upright."""
    pixels: Frame = frame.to_ndarray(format="rgb24")
    turns = int(frame.rotation) // 90 % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _pyav(data: bytes, indices: list[int], frames: int | None) -> Iterator[Frame]:
    """Decode with PyAV: list the time stamps, then seek where that saves decoding."""
    try:
        with av.open(io.BytesIO(data)) as container:
            stream = _stream(container)
            listed = list_packets(container, stream)
        if not listed.plain or frames not in (None, listed.frames):
            yield from _counted(data, indices)
            return
        if indices and indices[-1] >= listed.frames:
            raise VideoError(
                "plan-mismatch", f"frame {indices[-1]} sampled; the clip has {listed.frames}"
            )
        done = 0
        for frame in _sought(data, [listed.stamps[i] for i in indices], listed.starts):
            yield frame
            done += 1
        if done < len(indices):
            yield from _counted(data, indices[done:])
    except AV_ERRORS as error:
        raise VideoError("video-corrupt", f"{type(error).__name__}: {error}") from error


def _stream(container: Any) -> Any:
    stream = video_stream(container)
    if stream is None:
        raise VideoError("video-empty", "no video stream")
    stream.thread_type = "NONE"
    return stream


def _counted(data: bytes, indices: Iterable[int]) -> Iterator[Frame]:
    """Yield frames by counting what is decoded from the start."""
    remaining = iter(indices)
    wanted = next(remaining, None)
    for number, frame in enumerate(decoded(data, threads="NONE")):
        if number == wanted:
            yield _array(frame)
            wanted = next(remaining, None)
        if wanted is None:
            return


def _sought(data: bytes, wanted: Sequence[int], starts: Sequence[int]) -> Iterator[Frame]:
    """Yield the frame at each time stamp; stop at one that does not come.

    Seeks forward to a picture that decoding can start at where that saves decoding.
    """
    with av.open(io.BytesIO(data), "r") as container:
        stream = _stream(container)
        last = None  # time stamp of the last frame decoded
        frames = _decoded(container, stream, set(wanted))
        for target in wanted:
            at = bisect_right(starts, target)
            if at > 1 and (last is None or starts[at - 1] > last):
                container.seek(starts[at - 1], stream=stream)
                frames = _decoded(container, stream, set(wanted))
            for frame in frames:
                if frame.pts is not None and frame.pts >= target:
                    last = frame.pts
                    break
            if last != target:
                return
            yield _array(frame)


def _decoded(container: Any, stream: Any, wanted: Set[int]) -> Iterator[Any]:
    """Yield the frames from here on; unwanted frames that no other frame needs are not decoded."""
    for packet in container.demux(stream):
        if stream.codec_context.name in _SKIPPING:
            unwanted = packet.pts is not None and packet.pts not in wanted
            stream.codec_context.skip_frame = "NONREF" if unwanted else "DEFAULT"
        try:
            yield from packet.decode()
        except AV_ERRORS:
            continue  # a frame that is missed for it is noticed by its time stamp


def _decord(data: bytes, indices: list[int], frames: int | None) -> Iterator[Frame]:
    import decord

    try:
        reader = decord.VideoReader(io.BytesIO(data), num_threads=1)
        if indices and indices[-1] >= len(reader):
            raise VideoError(
                "plan-mismatch", f"frame {indices[-1]} sampled; the clip has {len(reader)}"
            )
        for number, index in enumerate(indices):
            frame = reader[index].asnumpy()
            if frame.shape[-1] != 3:
                # decord2 3.4.0 misreads some sizes: 96 × 64 comes with four channels.
                yield from _pyav(data, indices[number:], frames)
                return
            yield frame
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise VideoError("video-corrupt", f"{type(error).__name__}: {error}") from error


_BACKENDS: dict[str, Callable[[bytes, list[int], int | None], Iterator[Frame]]] = {
    "pyav": _pyav,
    "decord": _decord,
}
