"""A medium cut into tiles as they are stored, compared with what was measured of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from smolmix.cost import Grid, clip_frames, displayed, image_grid, media_grid
from smolmix.profiles import PixelProfile
from smolmix.sample import Media
from smolmix.tokenize.tiles.codec import encode_tiles
from smolmix.tokenize.tiles.image import ImageError, decode, split
from smolmix.tokenize.tiles.video import VideoError, clip_tiles

CUT_ERRORS = (ImageError, VideoError)  # what `cut` raises; both have a `reason` and a `detail`


@dataclass(frozen=True, slots=True, kw_only=True)
class CutMedium:
    """The stored tiles of one image or clip."""

    grid: Grid  # 0 x 0 for a clip, and for an image that is not split
    tiles: int  # sub-images and the global image, or frames
    codec: str
    blobs: tuple[bytes, ...]  # see `codec.encode_tiles`; of "source", the image file


def cut(media: Media, blobs: Sequence[bytes], profile: PixelProfile) -> CutMedium:
    """Return the medium's tiles as they are stored.

    Args:
        media: as measured at curation: its size or frames decided how many tiles were counted.
        blobs: the bytes of each of its references.
        profile: sizes, frame sampling and codec.

    Raises:
        ImageError: an image cannot be decoded, or is not of the measured size.
        VideoError: a clip cannot be decoded, or has fewer frames than measured.
    """
    if media.kind != "image":
        codec = profile.frame_codec if profile.codec == "source" else profile.codec
        tiles = clip_tiles(media, blobs, profile)
        planned = len(clip_frames(media, profile))
        if len(tiles) != planned:
            raise VideoError("plan-mismatch", f"{len(tiles)} frames; {planned} planned")
        return _stored(Grid(rows=0, cols=0), len(tiles), codec, encode_tiles(tiles, codec))
    image = decode(blobs[0], exif=profile.exif)
    grid = image_grid(image.width, image.height, profile)
    if grid != media_grid(media, profile):
        width, height = displayed(media, profile)
        raise ImageError(
            "plan-mismatch",
            f"{image.width} × {image.height} pixels; measured as {width} × {height}",
        )
    if profile.codec == "source":
        return _stored(grid, grid.tiles, "source", [blobs[0]])
    tiles = split(image, profile)[1]
    return _stored(grid, len(tiles), profile.codec, encode_tiles(tiles, profile.codec))


def _stored(grid: Grid, tiles: int, codec: str, blobs: Sequence[bytes]) -> CutMedium:
    return CutMedium(grid=grid, tiles=tiles, codec=codec, blobs=tuple(blobs))


def stored_bytes(media: Media, profile: PixelProfile) -> int:
    """Return an estimate of the bytes that the medium's tiles will take, to size shards by."""
    if media.kind == "image" and profile.codec == "source":
        return max(media.bytes_on_disk, 1024)
    one = profile.tile_px**2 * 3
    tiles = (
        media_grid(media, profile).tiles
        if media.kind == "image"
        else len(clip_frames(media, profile))
    )
    return tiles * (one if profile.codec == "raw" else one // 3)
