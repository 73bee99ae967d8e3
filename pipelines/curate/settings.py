"""The settings of deduplication and decontamination, as policies write them."""

from typing import Literal

from pydantic import Field

from smolmix.config import StrictModel


class TextDedup(StrictModel):
    """Near duplicates among text-only samples, by MinHash."""

    enabled: bool = True
    shingle_words: int = Field(default=5, ge=1)
    bands: int = Field(default=20, ge=1)
    rows: int = Field(default=6, ge=1)
    min_similarity: float = Field(default=0.7, gt=0, le=1)  # Jaccard, estimated over all hashes
    numbers: Literal["must-match", "ignore"] = "must-match"


class ImageDedup(StrictModel):
    """Near duplicates among images: hashes propose, pixels decide."""

    enabled: bool = True
    max_bits: int = Field(default=6, ge=0, le=16)  # of 64, between the hashes of candidates
    crops: bool = True
    flips: bool = True
    min_edge_px: int = Field(
        default=128, ge=1
    )  # longest edge; smaller images are compared pixel by pixel


class VideoDedup(StrictModel):
    """Near duplicates among videos, by hashes of sampled frames."""

    enabled: bool = True
    max_bits: int = Field(default=8, ge=0, le=16)
    max_length_gap: float = Field(default=0.05, ge=0)  # relative


class DenseBuckets(StrictModel):
    """Media whose perceptual hash is close to too many others; finer descriptors compare them."""

    max_neighbours: int = Field(default=64, ge=0)  # media close by hash; with more it is dense
    nearest: int = Field(default=24, ge=1, le=255)  # media that each one is compared with


class Merge(StrictModel):
    """How conversations over the same media become one, under `same_image: merge`."""

    max_pairs: int = Field(default=64, ge=2)  # of question and answer in one conversation
    max_text_tokens: int = Field(default=1024, ge=1)
    tags: Literal["must-match", "ignore"] = "must-match"  # mixtures select by them


class Dedup(StrictModel):
    """What counts as a duplicate, and which copy is kept."""

    exact: bool = True
    text: TextDedup = TextDedup()
    images: ImageDedup = ImageDedup()
    videos: VideoDedup = VideoDedup()
    dense_buckets: DenseBuckets = DenseBuckets()
    same_image: Literal["keep", "one", "merge"] = "keep"  # several conversations about one image
    merge: Merge = Merge()
    priority: tuple[str, ...] = ()  # corpora; the first keeps its copy, unlisted ones follow by id


class Decontaminate(StrictModel):
    """Which parts of benchmarks must not be in training data."""

    enabled: bool = True
    ngram_words: int = Field(default=8, ge=2)
    min_coverage: float = Field(default=0.5, gt=0, le=1)  # of a benchmark text's n-grams
    common_in: int = Field(default=10, ge=1)  # n-grams in more benchmark texts are boilerplate
    images: bool = True
    heldout: Literal["image-and-text", "image"] = "image-and-text"  # of the corpus's own split
