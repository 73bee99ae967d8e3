"""Frames of a clip by index: one function, two backends.

The rest of smolmix decodes video through `read_frames` alone. PyAV is the default (measured in
benchmarks/tokenize); decord, through its maintained fork decord2, returns the same frames.
"""

import io
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from smolmix.cost import clip_frames
from smolmix.errors import DataError, UsageError
from smolmix.profiles import PixelProfile
from smolmix.sample import Media
from smolmix.tokenize.tiles.image import Tiles, decode, squash

Backend = Literal["pyav", "decord"]
Frame = NDArray[np.uint8]  # (height, width, 3) RGB, upright

DEFAULT_BACKEND: Backend = "pyav"
_STAMPED = frozenset({"mp4", "matroska"})  # containers whose packets carry presentation times
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
        frames = read_frames(blobs[0], wanted, backend=backend)
    return np.stack([squash(frame, profile) for frame in frames])


def read_frames(
    data: bytes, indices: Sequence[int], *, backend: Backend = DEFAULT_BACKEND
) -> Iterator[Frame]:
    """Yield the frames at the given indices, in presentation order, turned upright.

    Args:
        data: a video file.
        indices: ascending, without repeats, counted over all frames of the file.
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
    for frame in _BACKENDS[backend](data, list(indices)):
        found += 1
        yield frame
    if found != len(indices):
        raise VideoError("plan-mismatch", f"{found} of {len(indices)} frames could be decoded")


def _array(frame: Any) -> Frame:
    """Return PyAV's frame in RGB, turned upright."""
    pixels: Frame = frame.to_ndarray(format="rgb24")
    turns = int(frame.rotation) // 90 % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _pyav(data: bytes, indices: list[int]) -> Iterator[Frame]:
    """Decode with PyAV: list the time stamps, then seek where a key frame saves decoding."""
    import av
    import av.error

    try:
        with av.open(io.BytesIO(data)) as container:
            if not container.streams.video:
                raise VideoError("video-empty", "no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            if not _STAMPED.intersection(container.format.name.split(",")):
                yield from _counted(container, stream, indices)
                return
            stamps, keys = _time_stamps(container, stream)
            if indices and indices[-1] >= len(stamps):
                raise VideoError(
                    "plan-mismatch", f"frame {indices[-1]} sampled; the clip has {len(stamps)}"
                )
            yield from _decode_at(container, stream, [stamps[i] for i in indices], keys)
    except (av.error.FFmpegError, ValueError, IndexError, EOFError) as error:
        raise VideoError("video-corrupt", f"{type(error).__name__}: {error}") from error


def _counted(container: Any, stream: Any, indices: Iterable[int]) -> Iterator[Frame]:
    """Yield frames by counting: AVI and transport streams cannot be sought by time."""
    remaining = iter(indices)
    wanted = next(remaining, None)
    for number, frame in enumerate(container.decode(stream)):
        if number == wanted:
            yield _array(frame)
            wanted = next(remaining, None)
        if wanted is None:
            return


def _time_stamps(container: Any, stream: Any) -> tuple[list[int], list[int]]:
    """Return the time stamps of all frames and of the key frames, both ascending."""
    stamps, keys = [], []
    for packet in container.demux(stream):
        if packet.pts is None or packet.is_discard or not packet.size:
            continue
        stamps.append(packet.pts)
        if packet.is_keyframe:
            keys.append(packet.pts)
    return sorted(stamps), sorted(keys)


def _decode_at(container: Any, stream: Any, wanted: list[int], keys: list[int]) -> Iterator[Frame]:
    """Yield the frame at each time stamp; seek forward to a key frame where that saves decoding."""
    last = None  # time stamp of the last frame decoded
    frames: Iterator[Any] = iter(())
    for target in wanted:
        key = keys[bisect_right(keys, target) - 1] if keys and keys[0] <= target else None
        if last is None or (key is not None and key > last):
            container.seek(target if key is None else key, stream=stream)
            frames = _decoded(container, stream, set(wanted))
        for frame in frames:
            if frame.pts is None or frame.pts < target:
                continue
            last = frame.pts
            yield _array(frame)
            break
        else:
            return


def _decoded(container: Any, stream: Any, wanted: Set[int]) -> Iterator[Any]:
    """Yield the frames from here on; unwanted frames that no other frame needs are not decoded."""
    for packet in container.demux(stream):
        if stream.codec_context.name in _SKIPPING:
            unwanted = packet.pts is not None and packet.pts not in wanted
            stream.codec_context.skip_frame = "NONREF" if unwanted else "DEFAULT"
        yield from packet.decode()


def _decord(data: bytes, indices: list[int]) -> Iterator[Frame]:
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
                yield from _pyav(data, indices[number:])
                return
            yield frame
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        raise VideoError("video-corrupt", f"{type(error).__name__}: {error}") from error


_BACKENDS: dict[str, Callable[[bytes, list[int]], Iterator[Frame]]] = {
    "pyav": _pyav,
    "decord": _decord,
}
