"""What a sample costs, from sizes and durations alone: tiles, frames and visual tokens.

Tokenization produces exactly these numbers; tests compare the two. No pixel is decoded.

Source: transformers' SmolVLM image and video processors (resize to the longest edge, pad the
grid up to whole tiles, one global tile last; `sample_frames` over the whole clip).
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from smolmix.profiles import PixelProfile
from smolmix.sample import Media


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How an image is cut: rows × cols sub-images and a global tile; 0 × 0 is that tile alone."""

    rows: int
    cols: int

    @property
    def tiles(self) -> int:
        """Tiles the vision encoder sees."""
        return self.rows * self.cols + 1

    def tokens(self, tokens_per_tile: int) -> int:
        """Tokens of the image's block, markers and line breaks included.

        A sub-image is `<fake_token_around_image><row_r_col_c>` and its image tokens, a row ends
        in a line break, the global tile adds `<fake_token_around_image><global-img>` and a
        closing `<fake_token_around_image>`. The last row's line break and the one before the
        global tile are one token in SmolLM2's vocabulary.
        """
        return self.tiles * (tokens_per_tile + 2) + 1 + self.rows


def resized(width: int, height: int, profile: PixelProfile) -> tuple[int, int]:
    """Return (width, height) after the first resize: longest edge fixed, the other made even.

    Source: transformers `_resize_output_size_rescale_to_max_len` and the 4096 cap after it.
    """
    longest = profile.longest_edge_px
    if not profile.upscale:
        longest = min(longest, max(width, height))
    aspect = width / height
    if width >= height:
        width, height = longest, int(longest / aspect)
        height += height % 2
    else:
        width, height = int(longest * aspect), longest
        width += width % 2
    width, height = max(width, 1), max(height, 1)
    cap = profile.max_edge_px
    aspect = width / height
    if width >= height and width > cap:
        width, height = cap, int(cap / aspect)
    elif height > width and height > cap:
        width, height = int(cap * aspect), cap
    return max(width, 1), max(height, 1)


def _whole_tiles(edge: int, tile: int) -> int:
    return -(-edge // tile) * tile


def split_size(width: int, height: int, profile: PixelProfile) -> tuple[int, int]:
    """Return (width, height) after the second resize, both multiples of the tile."""
    width, height = resized(width, height, profile)
    tile, aspect = profile.tile_px, width / height
    if width >= height:
        width = _whole_tiles(width, tile)
        height = _whole_tiles(int(width / aspect), tile)
    else:
        height = _whole_tiles(height, tile)
        width = _whole_tiles(int(height * aspect), tile)
    return width, height


def image_grid(width: int, height: int, profile: PixelProfile) -> Grid:
    """Return the grid that an image of `width` × `height` pixels is cut into."""
    if not profile.split:
        return Grid(rows=0, cols=0)
    wide, high = split_size(width, height, profile)
    if wide <= profile.tile_px and high <= profile.tile_px:
        return Grid(rows=0, cols=0)
    return Grid(rows=high // profile.tile_px, cols=wide // profile.tile_px)


def displayed(media: Media, profile: PixelProfile) -> tuple[int, int]:
    """Return (width, height) of an image as it is cut: turned by its EXIF where that is applied."""
    if profile.exif == "apply" and media.orientation >= 5:  # a quarter turn, mirrored or not
        return media.height, media.width
    return media.width, media.height


def media_grid(media: Media, profile: PixelProfile) -> Grid:
    """Return the grid that an image of the record is cut into."""
    return image_grid(*displayed(media, profile), profile)


def frame_count(duration_s: float, frames: int, fps: float, profile: PixelProfile) -> int:
    """Return how many frames `frame_indices` samples from a clip."""
    return len(frame_indices(duration_s, frames, fps, profile))


def frame_indices(duration_s: float, frames: int, fps: float, profile: PixelProfile) -> list[int]:
    """Return the native frame indices sampled, spread over the whole clip.

    A clip shorter than a frame interval gives one frame. Long clips lose one second at each end.

    Args:
        duration_s: length in seconds.
        frames: native frames in the clip.
        fps: native frames per second.
        profile: its `fps` and `max_frames` are the sampling rate and the maximum.

    Source: transformers `SmolVLMVideoProcessor.sample_frames`.
    """
    if frames <= 0:
        return []
    wanted = max(1, min(round(profile.fps * duration_s), profile.max_frames))
    start, end = 0, frames - 1
    if duration_s - 2 > profile.max_frames * profile.fps:
        start, end = int(fps), min(int(frames - fps), frames - 1)
        if start >= end:
            start, end = 0, frames - 1
    return [int(i) for i in np.unique(np.linspace(start, end, wanted, dtype=int))]


def clip_timing(media: Media) -> tuple[float, float]:
    """Return (duration_s, fps) of a clip, each filled in from the other where a header lacks it.

    Without either, 24 frames a second: what transformers assumes of frames without metadata.
    """
    fps = media.fps
    if fps <= 0:
        fps = media.frames / media.duration_s if media.duration_s > 0 else 24.0
    duration_s = media.duration_s if media.duration_s > 0 else media.frames / fps
    return duration_s, fps


def frame_time(media: Media, frame: int) -> float:
    """Return when a native frame is shown, in seconds; full seconds where its clock is uneven."""
    if media.second_starts:
        return float(bisect_right(media.second_starts, frame))
    return frame / clip_timing(media)[1]


def clip_frames(media: Media, profile: PixelProfile) -> list[int]:
    """Return the native frame indices sampled from a clip."""
    duration_s, fps = clip_timing(media)
    return frame_indices(duration_s, media.frames, fps, profile)


def media_tiles(media: Iterable[Media], profile: PixelProfile) -> int:
    """Return the tiles of all media together."""
    total = 0
    for m in media:
        if m.kind == "image":
            total += media_grid(m, profile).tiles
        else:
            total += len(clip_frames(m, profile))
    return total


def tile_groups(kind: str, tiles: int, frame_average: int) -> list[int]:
    """Return how many tiles each visual block of a medium averages, in order.

    Args:
        kind: of the medium; an image's tiles are never averaged.
        tiles: of the medium; a clip has one a frame.
        frame_average: consecutive frames to a block; the last may have fewer.
    """
    if kind == "image":
        return [1] * tiles
    return [min(frame_average, tiles - at) for at in range(0, tiles, frame_average)]


def visual_tokens(media: Iterable[Media], profile: PixelProfile, *, frame_average: int = 1) -> int:
    """Return the tokens of all media blocks, markers included, frame labels not.

    Frame labels and intros are text and belong to the chat style.

    Args:
        media: of a sample.
        profile: how images and clips are cut.
        frame_average: consecutive frames that share a block; part of the chat style too.
    """
    total = 0
    for m in media:
        if m.kind == "image":
            total += media_grid(m, profile).tokens(profile.tokens_per_tile)
        else:
            one = Grid(rows=0, cols=0).tokens(profile.tokens_per_tile)
            frames = len(clip_frames(m, profile))
            total += one * len(tile_groups(m.kind, frames, frame_average))
    return total
