"""Measures media: each distinct one once, however many samples show it."""

from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import xxhash
from msgspec.structs import replace
from PIL import Image

from smolmix.errors import DataError
from smolmix.media import MediaReader
from smolmix.pipelines.curate.measure import fingerprints
from smolmix.pipelines.curate.measure.images import read_image
from smolmix.pipelines.curate.measure.media_features import MediaFeatures
from smolmix.pipelines.curate.measure.videos import probes, read_video
from smolmix.sample import Media, MediaRef

NOT_FETCHED = "named-"  # how the digest of a medium that is not fetched starts
_CACHED = 4096  # measured media kept by reference: samples that share a medium are usually close


def _hashes(image: Image.Image) -> tuple[int, ...]:
    """Return the hashes of a picture and its crops; of a small one, only of the full picture."""
    if max(image.size) < fingerprints.THUMBNAIL_PX:
        return fingerprints.phash(image)
    return tuple(fingerprints.phashes(image))


class MediaMeasurer:
    """Fills in media records, and collects the features of each distinct medium."""

    def __init__(self, reader: MediaReader, *, decode: bool = True):
        """Measure media that `reader` reads; `decode` decodes pixels too."""
        self._reader = reader
        self._decode = decode
        self._cache: OrderedDict[tuple[str, tuple[MediaRef, ...]], tuple[Media, str]] = (
            OrderedDict()
        )
        self.features: dict[str, MediaFeatures] = {}  # by digest, in the order of first use

    def measure(self, media: Media, blobs: Mapping[MediaRef, bytes]) -> tuple[Media, str]:
        """Return the medium with its facts, and its error or an empty string.

        One that is not fetched has no facts and no features: nothing sampled at it.
        """
        if media.names:
            # Not fetched. Its name represents its bytes, so that rows with other media differ.
            named = xxhash.xxh3_128_hexdigest(media.refs[0].uri.encode())
            return replace(media, digest=f"{NOT_FETCHED}{named}"), ""
        key = media.kind, media.refs
        known = self._cache.get(key)
        if known is None:
            known = self._cache[key] = self._measure(media, blobs)
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        return known

    def _measure(self, media: Media, blobs: Mapping[MediaRef, bytes]) -> tuple[Media, str]:
        kind = "video" if media.kind == "video" else "image"
        try:
            data = [
                b if (b := blobs.get(r)) is not None else self._reader.read(r) for r in media.refs
            ]
        except (DataError, OSError) as error:
            return media, f"{kind}-missing: {error}"
        if not data:
            return media, f"{kind}-missing: no reference"
        state = xxhash.xxh3_128()
        for one in data:
            state.update(one)
        media = replace(
            media, digest=state.hexdigest(), bytes_on_disk=sum(map(len, data)), frames=len(data)
        )
        if media.kind == "video":
            return self._video(media, data[0])
        if media.kind == "frames":
            return self._frames(media, data)
        return self._image(media, data[0])

    def _image(self, media: Media, data: bytes) -> tuple[Media, str]:
        facts = read_image(data, decode=self._decode)
        media = replace(
            media,
            format=facts.format,
            width=facts.width,
            height=facts.height,
            orientation=facts.orientation,
        )
        if media.digest not in self.features:
            features = MediaFeatures(
                digest=media.digest,
                kind=media.kind,
                width=facts.width,
                height=facts.height,
                duration_s=0.0,
                refs=media.refs,
                mode=facts.mode,
                orientation=facts.orientation,
                animated=facts.frames,
                error=facts.error,
            )
            if facts.pixels is not None:
                spread, deviation = fingerprints.spread(facts.pixels)
                features = replace(
                    features,
                    spread=spread,
                    deviation=deviation,
                    level=fingerprints.mean_level(facts.pixels),
                    hashes=_hashes(facts.pixels),
                    thumbnails=fingerprints.thumbnail(facts.pixels),
                )
            self.features[media.digest] = features
        return media, facts.error

    def _video(self, media: Media, data: bytes) -> tuple[Media, str]:
        facts = read_video(data, decode=self._decode)
        media = replace(
            media,
            format=facts.format,
            width=facts.width,
            height=facts.height,
            frames=facts.frames,
            fps=facts.fps,
            duration_s=facts.duration_s,
            second_starts=facts.second_starts,
        )
        self._moving(media, facts.sampled, facts.error, mode=facts.mode)
        return media, facts.error

    def _frames(self, media: Media, data: list[bytes]) -> tuple[Media, str]:
        """A folder of numbered frames is a clip at the rate the source names, or 1 a second."""
        wanted = set(probes(len(data)))
        sampled, first, error = list[Image.Image](), None, ""
        for index, one in enumerate(data):
            facts = read_image(one, decode=self._decode)  # a profile may show any frame
            first = first or facts
            if facts.error:
                error = f"{facts.error} (frame {index})"
                break
            if facts.pixels is not None and index in wanted:
                sampled.append(facts.pixels)
        assert first is not None
        fps = media.fps or 1.0
        media = replace(
            media,
            format=first.format,
            width=first.width,
            height=first.height,
            frames=len(data),
            fps=fps,
            duration_s=len(data) / fps,
        )
        self._moving(media, tuple(sampled), error)
        return media, error

    def _moving(
        self, media: Media, sampled: tuple[Image.Image, ...], error: str, *, mode: str = "RGB"
    ) -> None:
        if media.digest in self.features:
            return
        features = MediaFeatures(
            digest=media.digest,
            kind=media.kind,
            width=media.width,
            height=media.height,
            duration_s=media.duration_s,
            refs=media.refs,
            mode=mode if sampled or mode != "RGB" else "",
            error=error,
        )
        if sampled:
            spreads = [fingerprints.spread(f) for f in sampled]
            greys = [
                np.asarray(f.convert("L").resize((64, 64))).astype(np.float32) for f in sampled
            ]
            moves = [float(np.abs(a - b).mean()) for a, b in pairwise(greys)]
            pairs = [fingerprints.phash(f) for f in sampled]
            features = replace(
                features,
                spread=max(s for s, _ in spreads),
                deviation=max(d for _, d in spreads),
                level=max(fingerprints.mean_level(f) for f in sampled),
                motion=max(moves, default=255.0),
                hashes=tuple([p for p, _ in pairs] + [m for _, m in pairs]),
                thumbnails=b"".join(map(fingerprints.thumbnail, sampled)),
            )
        self.features[media.digest] = features
