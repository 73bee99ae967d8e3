"""Clips as other programs leave them."""

import io
from typing import Any

import av


def spliced(data: bytes, start_s: float) -> bytes:
    """Cut a clip's beginning off without encoding it anew, as `ffmpeg -ss … -c copy` does."""
    out = io.BytesIO()
    with av.open(io.BytesIO(data), "r") as whole, av.open(out, "w", format="mp4") as part:
        pictures: Any = whole.streams.video[0]
        track = part.add_stream_from_template(pictures)
        start = int(start_s / pictures.time_base)
        whole.seek(start, stream=pictures)
        for packet in whole.demux(pictures):
            if packet.dts is not None and packet.pts is not None:
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - start,
                    packet.dts - start,
                    track,
                )
                part.mux(packet)
    return out.getvalue()
