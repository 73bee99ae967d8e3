"""The tiles of a mixture's media: what a shard's row holds, and how it is cut."""

from collections.abc import Sequence

from smolmix.profiles import PixelProfile
from smolmix.sample import Media
from smolmix.tokenize.shards.shards import TilesRow
from smolmix.tokenize.tiles.cutting import cut


def tiles_row(media: Media, blobs: Sequence[bytes], profile: PixelProfile) -> TilesRow:
    """Return the row of a tile shard that holds the medium's tiles.

    Args:
        media: as measured at curation.
        blobs: the bytes of each of its references.
        profile: sizes, frame sampling and codec.

    Raises:
        ImageError: an image cannot be decoded, or is not of the measured size.
        VideoError: a clip cannot be decoded, or has fewer frames than measured.
    """
    stored = cut(media, blobs, profile)
    return TilesRow(
        digest=media.digest,
        kind=media.kind,
        rows=stored.grid.rows,
        cols=stored.grid.cols,
        tiles=stored.tiles,
        codec=stored.codec,
        blobs=stored.blobs,
    )
