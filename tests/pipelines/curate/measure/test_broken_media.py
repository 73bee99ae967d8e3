"""More than forty kinds of broken image and video: each leaves with the right reason."""

import io
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.support.clips import spliced

from smolmix.pipelines.formats.jsonl import JsonLines
from smolmix.workspace import part_files

Make = Callable[..., Any]
Curate = Callable[..., Any]


def _picture(width: int = 320, height: int = 240, mode: str = "RGB") -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    own = 5 + width % 23  # each width another picture
    waves = [np.sin(x / (own + c)) + np.cos(y / (own + 2 * c)) for c in range(3)]
    return Image.fromarray(((np.stack(waves, -1) + 2) * 63).astype(np.uint8)).convert(mode)


def _encoded(kind: str, image: Image.Image | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    (image or _picture()).save(stream, kind, **options)
    return stream.getvalue()


def clip(
    *, frames: int = 24, kind: str = "mp4", codec: str = "libx264", size: int = 96, show: str = "",
    rate: int = 12, audio: bool = False, **options: str,
) -> bytes:  # fmt: skip
    """Return a video; `show` is "", "black", "still" or "none" (no frame at all)."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/clip"  # moving the index to the front needs a file
        _write_clip(path, frames, kind, codec, size, show, rate, audio, options)
        with open(path, "rb") as stream:
            return stream.read()


def _write_clip(
    path: str, frames: int, kind: str, codec: str, size: int, show: str, rate: int, audio: bool,
    options: dict[str, str],
) -> None:  # fmt: skip
    with av.open(path, "w", format=kind, options=options) as out:
        if audio:
            track: Any = out.add_stream("aac" if kind != "matroska" else "libopus", rate=48_000)
            for index in range(40):
                sound = av.AudioFrame(format="fltp", layout="mono", samples=960)
                sound.planes[0].update(bytes(sound.planes[0].buffer_size))
                sound.rate, sound.pts = 48_000, index * 960
                out.mux(track.encode(sound))
            out.mux(track.encode(None))
        if show != "none":
            pictures: Any = out.add_stream(codec, rate=rate)
            pictures.width = pictures.height = size
            pictures.pix_fmt = "yuv420p"
            for index in range(frames):
                level = {"black": 0, "still": 120}.get(show, (index * 9) % 256)
                array = np.full((size, size, 3), level, np.uint8)
                if show == "still":
                    array[: size // 2] = 30
                if not show:
                    array[index % size :, : size // 2] = 255 - level
                out.mux(pictures.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
            out.mux(pictures.encode(None))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(width: int, height: int, body: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _deep_colour(width: int, height: int) -> bytes:
    """Return a PNG of 16 bits a channel."""
    pixels = np.asarray(_picture(width, height)).astype(">u2") * 257
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "a" * 500)
    return stream.getvalue()


def _cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def _zeros(data: bytes, at: float, count: int) -> bytes:
    start = int(len(data) * at)
    return data[:start] + bytes(count) + data[start + count :]


def _animation(kind: str) -> bytes:
    frames = [_picture().rotate(20 * i) for i in range(4)]
    return _encoded(kind, frames[0], save_all=True, append_images=frames[1:], duration=90)


def broken_images() -> Iterator[tuple[str, str, bytes | None]]:
    """Yield (kind, reason, bytes); None is a file that is not there."""
    jpeg, png, webp = _encoded("JPEG"), _encoded("PNG"), _encoded("WEBP", quality=80)
    progressive = _encoded("JPEG", progressive=True)
    gif, bmp, tiff = _encoded("GIF"), _encoded("BMP"), _encoded("TIFF")
    yield "missing file", "image-missing", None
    yield "0 bytes", "image-empty", b""
    yield "one byte", "image-not-an-image", b"\x00"
    yield "html error page", "image-not-an-image", b"<!DOCTYPE html><html>404</html>"
    yield "json error", "image-not-an-image", b'{"error": "rate limited"}'
    yield "plain text", "image-not-an-image", b"not found\n" * 20
    yield "svg", "image-not-an-image", b"<svg xmlns='http://www.w3.org/2000/svg'><rect/></svg>"
    yield "pdf", "image-not-an-image", b"%PDF-1.4\n%%EOF\n"
    yield "zip", "image-not-an-image", _zip()
    yield "git-lfs pointer", "image-not-an-image", b"version https://git-lfs.github.com/spec/v1\n"
    yield "zeros", "image-not-an-image", bytes(5000)
    yield "noise", "image-not-an-image", np.random.default_rng(1).bytes(5000)
    yield "a video", "image-not-an-image", clip()
    yield "jpeg cut at 10 %", "image-truncated", _cut(jpeg, 0.1)
    yield "jpeg cut at 50 %", "image-truncated", _cut(jpeg, 0.5)
    yield "jpeg cut at 99 %", "image-truncated", _cut(jpeg, 0.99)
    yield "jpeg without its end", "image-truncated", jpeg[:-2]
    small = _encoded("JPEG", _picture(64, 64))
    noisy = Image.fromarray(np.random.default_rng(6).integers(0, 255, (200, 200, 3), np.uint8))
    exif = b"Exif\x00\x00" + small  # a thumbnail has an end of its own
    yield (
        "jpeg cut behind its thumbnail",
        "image-truncated",
        _cut(_encoded("JPEG", noisy, exif=exif), 0.9),
    )
    yield "progressive jpeg cut", "image-truncated", _cut(progressive, 0.6)
    yield "jpeg cut and patched", "image-corrupt", _cut(jpeg, 0.5) + b"\xff\xd9"
    yield "jpeg with a hole", "image-corrupt", _zeros(jpeg, 0.5, 300)
    yield "jpeg header only", "image-corrupt", jpeg[:3] + bytes(400) + b"\xff\xd9"
    yield "png cut at 10 %", "image-truncated", _cut(png, 0.1)
    yield "png cut at 90 %", "image-truncated", _cut(png, 0.9)
    yield "png without its end", "image-truncated", png[:-12]
    yield "png with a hole", "image-corrupt", _zeros(png, 0.5, 50)
    yield "png signature only", "image-truncated", png[:8]
    yield "png without data", "image-corrupt", png[:33] + _chunk(b"IEND", b"")
    yield "png of 0 pixels", "image-corrupt", _png(0, 0, zlib.compress(b""))
    yield "png with too little data", "image-truncated", _png(64, 64, zlib.compress(bytes(100)))
    yield "png with bad zlib", "image-corrupt", _png(64, 64, b"\x00not zlib at all")
    yield "png bomb", "image-bomb", _png(30_000, 30_000, zlib.compress(bytes(1000)))
    yield "bmp bomb", "image-bomb", bmp[:18] + struct.pack("<ii", 60_000, 60_000) + bmp[26:]
    yield "webp cut", "image-truncated", _cut(webp, 0.6)
    yield "webp with a hole", "image-corrupt", webp[:20] + bytes(60) + webp[80:]
    yield "gif cut", "image-truncated", _cut(gif, 0.7)
    yield "bmp cut", "image-truncated", _cut(bmp, 0.5)
    yield "tiff cut", "image-truncated", _cut(tiff, 0.5)
    wide = (np.asarray(_picture(328, 240, "L")).astype(np.uint16)) * 257
    yield "16 bit grey", "image-deep", _encoded("PNG", Image.fromarray(wide))
    yield "32 bit grey", "image-deep", _encoded("TIFF", Image.fromarray(wide.astype(np.int32)))
    yield "fractions", "image-deep", _encoded("TIFF", Image.fromarray((wide / 65535).astype("f4")))
    yield "animated gif", "image-animated", _animation("GIF")
    yield "animated webp", "image-animated", _animation("WEBP")
    yield "animated png", "image-animated", _animation("PNG")
    yield "blank white", "image-blank", _encoded("PNG", Image.new("RGB", (200, 200), "white"))
    yield "blank jpeg", "image-blank", _encoded("JPEG", Image.new("RGB", (200, 200), (90, 20, 77)))
    yield "transparent", "image-blank", _encoded("PNG", Image.new("RGBA", (80, 80), (9, 9, 9, 0)))
    yield "one pixel", "image-tiny", _encoded("PNG", _picture(1, 1))
    yield "sliver", "image-aspect", _encoded("PNG", _picture(900, 12))


def broken_videos() -> Iterator[tuple[str, str, bytes | None]]:
    """Yield (kind, reason, bytes); None is a file that is not there."""
    mp4, fast = clip(frames=60), clip(frames=60, movflags="faststart")
    mkv = clip(frames=60, kind="matroska")
    yield "missing file", "video-missing", None
    yield "0 bytes", "video-empty", b""
    yield "html error page", "video-not-a-video", b"<html><body>Forbidden</body></html>"
    yield "a picture", "video-not-a-video", _encoded("JPEG")
    yield "noise", "video-not-a-video", np.random.default_rng(2).bytes(9000)
    yield "zip", "video-not-a-video", _zip()
    yield "mp4 without its index", "video-truncated", _cut(mp4, 0.6)
    yield "faststart mp4 cut", "video-truncated", _cut(fast, 0.6)
    yield "mkv cut", "video-truncated", _cut(mkv, 0.4)
    yield "mp4 with an empty index", "video-corrupt", mp4[:40] + b"\x00\x00\x00\x08moov"
    yield "mp4 of zeros", "video-corrupt", _hollow(fast)
    yield "audio alone", "video-no-picture", clip(show="none", audio=True)
    yield "black", "video-black", clip(show="black")
    yield "still", "video-static", clip(show="still")
    yield "two frames", "video-duration", clip(frames=2)
    yield "tiny", "video-tiny", clip(size=8, codec="mpeg4")
    yield "one frame in ten seconds", "video-rate", _slow()


def _hollow(data: bytes) -> bytes:
    """Zero the coded pictures of an mp4 whose index stands in front."""
    at = data.index(b"mdat") + 4
    return data[:at] + bytes(len(data) - at)


def _slow() -> bytes:
    from fractions import Fraction

    stream = io.BytesIO()
    with av.open(stream, "w", format="matroska") as out:
        track: Any = out.add_stream("mpeg4", rate=Fraction(1, 10))
        track.width = track.height = 64
        track.pix_fmt = "yuv420p"
        for index in range(8):
            array = np.full((64, 64, 3), 30 * index, np.uint8)
            out.mux(track.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        out.mux(track.encode(None))
    return stream.getvalue()


def good_images() -> Iterator[tuple[str, bytes]]:
    """Yield odd but whole images: all of them must stay."""
    yield "jpeg", _encoded("JPEG", _picture(321, 240))
    yield "progressive", _encoded("JPEG", _picture(322, 240), progressive=True)
    yield "cmyk", _encoded("JPEG", _picture(323, 240, "CMYK"))
    yield "grey", _encoded("JPEG", _picture(324, 240, "L"))
    yield "palette", _encoded("PNG", _picture(325, 240).quantize(32))
    yield "alpha", _encoded("PNG", _picture(326, 240, "RGBA"))
    yield "one bit", _encoded("PNG", _picture(327, 240, "1"))
    yield "16 bit colour", _deep_colour(328, 240)
    yield "gif", _encoded("GIF", _picture(329, 240))
    yield "webp", _encoded("WEBP", _picture(330, 240))
    yield "bmp", _encoded("BMP", _picture(331, 240))
    yield "tiff", _encoded("TIFF", _picture(332, 240))
    exif = Image.Exif()
    exif[0x0112] = 6
    yield "turned", _encoded("JPEG", _picture(333, 240), exif=exif)
    yield "bad exif", _encoded("JPEG", _picture(334, 240), exif=b"Exif\x00\x00garbage")
    yield "bad icc", _encoded("JPEG", _picture(335, 240), icc_profile=b"no profile")
    yield "trailing bytes", _encoded("JPEG", _picture(336, 240)) + b"\x00" * 64
    film = bytes(4) + b"ftypmp42" + np.random.default_rng(5).bytes(9000).replace(b"\xff", b"")
    yield "a film behind it", _encoded("JPEG", _picture(337, 240), progressive=True) + film
    yield "line of text", _encoded("PNG", _picture(600, 40))


def test_every_broken_file_is_dropped_with_the_right_reason(planted: Make, curated: Curate) -> None:
    corpus, expected = planted(), dict[str, str]()
    for kind, reason, data in broken_images():
        place = f"{corpus.root}/media/none" if data is None else corpus.file(kind, data)
        corpus.ask(f"image {kind}", place)
        expected[f"image {kind}"] = reason
    for kind, reason, data in broken_videos():
        place = f"{corpus.root}/media/none" if data is None else corpus.file(f"v {kind}", data)
        corpus.add(f"video {kind}", ("user", [0, "What?"]), ("assistant", "It."), videos=[place])
        expected[f"video {kind}"] = reason
    good = list(good_images())
    for number, (kind, data) in enumerate(good):
        corpus.ask(f"good {kind}", corpus.file(f"good {kind}", data), f"What is {number}?")
    for kind, data in (("plain", clip()), ("mkv", clip(frames=30, kind="matroska"))):
        place = corpus.file(f"good {kind}", data)
        corpus.add(f"good {kind}", ("user", [0, kind]), ("assistant", "It."), videos=[place])
    found = curated(corpus.write())
    assert len(expected) >= 40
    reasons = {
        key: found.dropped[key].reason if key in found.dropped else "kept" for key in expected
    }
    wrong = {k: (reasons[k], expected[k], getattr(found.dropped.get(k), "detail", "")) for k in
             expected if reasons[k] != expected[k]}  # fmt: skip
    assert wrong == {}, "\n".join(f"{k}: {v}" for k, v in wrong.items())
    assert {k for k in found.kept if k.startswith("good")} == {
        *(f"good {kind}" for kind, _ in good), "good plain", "good mkv"
    }  # fmt: skip
    assert found.fall.rows == len(corpus.rows) == len(found.kept) + len(found.dropped)


def test_one_bad_row_in_many_costs_one_row(planted: Make, curated: Curate) -> None:
    corpus = planted()
    for number in range(60):
        data = _encoded("JPEG", _picture(100 + number, 100))
        data = _cut(data, 0.5) if number == 33 else data
        corpus.ask(f"n{number}", corpus.file(f"{number}.jpg", data), f"What is {number}?")
    found = curated(corpus.write())
    assert set(found.dropped) == {"n33"}
    assert len(found.kept) == 59


def test_a_row_that_kills_its_worker_is_dropped_alone(planted: Make, curated: Curate) -> None:
    corpus = planted()
    for number in range(8):
        corpus.add(f"n{number}", ("user", f"Question {number}?"), ("assistant", f"A{number}"))
    corpus.rows[5]["kill"] = True
    source = replace(corpus.write(), format=JsonLines(cut_bytes=200))  # units of a few rows
    found = curated(source, workers=2)
    assert len(found.kept) == 7
    assert found.fall.rows_dropped == {"worker-killed": 1}
    assert found.fall.rows == 8
    measured = corpus.workspace.measured(corpus.name)
    names = part_files(measured, ".dropped.parquet")
    assert len(names) > 2
    (lost,) = [r for n in names for r in pq.read_table(measured.local(n)).to_pylist()]
    assert (lost["id"], lost["source_row"]) == (f"{corpus.root}/rows-0.jsonl#5", 5)


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_a_clips_frames_and_duration_are_those_of_its_index(kind: str) -> None:
    from smolmix.pipelines.curate.measure.videos import read_video

    facts = read_video(clip(frames=36, rate=12, kind=kind))
    assert facts.error == ""
    assert (facts.frames, round(facts.fps, 2), round(facts.duration_s, 2)) == (36, 12.0, 3.0)
    assert (facts.width, facts.height, facts.format) == (96, 96, "h264")


def _recorded(kind: str) -> tuple[bytes, float]:
    """Return a recording that aims at 30 frames a second and reaches fewer, and its seconds."""
    from fractions import Fraction

    stream, at_ms = io.BytesIO(), 0
    with av.open(stream, "w", format=kind) as out:
        track: Any = out.add_stream("libx264", rate=30)
        track.width = track.height = 64
        track.pix_fmt, track.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), index * 5, np.uint8))
            frame.pts, frame.time_base = at_ms, Fraction(1, 1000)
            at_ms += 33 if index % 5 else 400
            out.mux(track.encode(frame))
        out.mux(track.encode(None))
    return stream.getvalue(), at_ms / 1000


def test_a_clip_cut_without_encoding_it_again_has_the_frames_that_play() -> None:
    from smolmix.pipelines.curate.measure.videos import read_video
    from smolmix.tokenize.tiles.video import read_frames

    data = spliced(clip(frames=60, rate=10, g="12"), 1.7)
    with av.open(io.BytesIO(data), "r") as container:
        hidden = sum(p.is_discard for p in container.demux(container.streams.video[0]))
    with av.open(io.BytesIO(data), "r") as container:
        playing = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    facts = read_video(data)
    assert hidden > 0
    assert (facts.error, facts.frames) == ("", len(playing))
    read = list(read_frames(data, range(facts.frames)))
    assert len(read) == len(playing)
    assert all(np.array_equal(a, b) for a, b in zip(read, playing, strict=True))


@pytest.mark.parametrize("kind", ["mp4", "matroska"])
def test_a_recording_of_changing_rate_is_as_long_as_its_time_stamps_say(kind: str) -> None:
    from smolmix.pipelines.curate.measure.videos import read_video

    data, seconds = _recorded(kind)
    facts = read_video(data)
    assert (facts.error, facts.frames) == ("", 50)
    assert facts.duration_s == pytest.approx(seconds, rel=0.08)
