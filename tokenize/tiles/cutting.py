"""One medium to the row of a tile shard, held against what was planned for it."""

from collections.abc import Sequence

from smolmix.cost import Grid, clip_frames, displayed, image_grid, media_grid
from smolmix.profiles import PixelProfile
from smolmix.sample import Media
from smolmix.tokenize.shards.shards import TilesRow
from smolmix.tokenize.tiles.codec import encode_tiles
from smolmix.tokenize.tiles.image import ImageError, decode, split
from smolmix.tokenize.tiles.video import VideoError, clip_tiles

CUT_ERRORS = (ImageError, VideoError)  # what `cut` raises; both carry `reason` and `detail`


def cut(media: Media, blobs: Sequence[bytes], profile: PixelProfile) -> TilesRow:
    """Return the medium's tiles as they are stored.

    Args:
        media: as measured: its size or its frames were planned with.
        blobs: the bytes of each of its references.
        profile: sizes, frame sampling and codec.

    Raises:
        ImageError: an image cannot be decoded, or is not of the size its header said.
        VideoError: a clip cannot be decoded, or is shorter than its header said.
    """
    if media.kind != "image":
        codec = profile.frame_codec if profile.codec == "source" else profile.codec
        tiles = clip_tiles(media, blobs, profile)
        planned = len(clip_frames(media, profile))
        if len(tiles) != planned:
            raise VideoError("plan-mismatch", f"{len(tiles)} frames; {planned} planned")
        return _row(media, Grid(rows=0, cols=0), len(tiles), codec, encode_tiles(tiles, codec))
    image = decode(blobs[0], exif=profile.exif)
    grid = image_grid(image.width, image.height, profile)
    if grid != media_grid(media, profile):
        width, height = displayed(media, profile)
        raise ImageError(
            "plan-mismatch",
            f"{image.width} × {image.height} pixels; measured as {width} × {height}",
        )
    if profile.codec == "source":
        return _row(media, grid, grid.tiles, "source", [blobs[0]])
    tiles = split(image, profile)[1]
    return _row(media, grid, len(tiles), profile.codec, encode_tiles(tiles, profile.codec))


def _row(media: Media, grid: Grid, tiles: int, codec: str, blobs: Sequence[bytes]) -> TilesRow:
    return TilesRow(
        digest=media.digest,
        kind=media.kind,
        rows=grid.rows,
        cols=grid.cols,
        tiles=tiles,
        codec=codec,
        blobs=tuple(blobs),
    )


def stored_bytes(media: Media, profile: PixelProfile) -> int:
    """Return about how many bytes the medium's tiles will take: enough to size shards by."""
    if media.kind == "image" and profile.codec == "source":
        return max(media.bytes_on_disk, 1024)
    one = profile.tile_px**2 * 3
    tiles = (
        media_grid(media, profile).tiles
        if media.kind == "image"
        else len(clip_frames(media, profile))
    )
    return tiles * (one if profile.codec == "raw" else one // 3)
