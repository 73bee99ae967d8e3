"""What the generated corpora share: H.264 clips and tars whose bytes are the same each time."""

import io
import tarfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


def mp4(frames: Iterable["Image"], *, edge_px: int, fps: int) -> bytes:
    """Return square RGB frames as an H.264 MP4; one thread and fixed settings, the same bytes."""
    import av
    import numpy as np

    out = io.BytesIO()
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width = stream.height = edge_px
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        # Macroblock-tree rate control read memory it had not set: one clip in eight differed.
        stream.options = {"preset": "veryfast", "crf": "18", "x264-params": "threads=1:mbtree=0"}
        for image in frames:
            frame = av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return out.getvalue()


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """Add a member without time, owner or other traces of this machine."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def lines(text: str) -> tuple[str, ...]:
    """Return the lines of a block of text, spaces around and empty ones left out."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())
