"""A curation policy: which rules, which duplicates, which contamination. Read from YAML.

Unknown keys, rules and thresholds are refused with the nearest known name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from smolmix.config import StrictModel, mapping_in, read_mapping, validated
from smolmix.errors import UsageError, nearest
from smolmix.pipelines.curate.measure.model_scores import SCORERS
from smolmix.pipelines.curate.rules.registry import RULES
from smolmix.pipelines.curate.rules.rule import Rule, View
from smolmix.pipelines.curate.rules.scores import ScoreLow
from smolmix.storage import digest_json

POLICIES = Path(__file__).resolve().parent / "policies"
DEFAULT = "default"
_HOLDS = "a policy has filters, dedup or decontaminate; the policy `none` keeps everything"
_GROUPS = ("all", "text", "image", "multi-image", "video")
# A rule over images also holds for samples of several.
_APPLIES = {
    "text": ("all", "text"),
    "image": ("all", "image"),
    "multi-image": ("all", "image", "multi-image"),
    "video": ("all", "video"),
}


class TextDedup(StrictModel):
    """Near duplicates among text-only samples, by MinHash."""

    enabled: bool = True
    shingle_words: int = Field(default=5, ge=1)
    bands: int = Field(default=20, ge=1)
    rows: int = Field(default=6, ge=1)
    min_similarity: float = Field(default=0.7, gt=0, le=1)  # Jaccard, estimated over all hashes
    numbers: Literal["must-match", "ignore"] = "must-match"


class ImageDedup(StrictModel):
    """Near duplicates among media: hashes propose, pixels decide."""

    enabled: bool = True
    max_bits: int = Field(default=6, ge=0, le=16)  # of 64, between the hashes of a proposal
    crops: bool = True
    flips: bool = True
    min_edge_px: int = Field(default=128, ge=1)  # longest edge; smaller ones: pixel on pixel


class VideoDedup(StrictModel):
    """Near duplicates among videos, by hashes of sampled frames."""

    enabled: bool = True
    max_bits: int = Field(default=8, ge=0, le=16)
    max_length_gap: float = Field(default=0.05, ge=0)  # relative


class Merge(StrictModel):
    """How conversations over the same media become one, under `same_image: merge`."""

    max_pairs: int = Field(default=64, ge=2)  # of question and answer in one conversation
    max_text_tokens: int = Field(default=1024, ge=1)
    tags: Literal["must-match", "ignore"] = "must-match"  # mixtures select by them


class Dedup(StrictModel):
    """What counts as a duplicate, and which copy stays."""

    exact: bool = True
    text: TextDedup = TextDedup()
    images: ImageDedup = ImageDedup()
    videos: VideoDedup = VideoDedup()
    same_image: Literal["keep", "one", "merge"] = "keep"  # other questions on one image
    merge: Merge = Merge()
    priority: tuple[str, ...] = ()  # corpora, the first keeps its copy; then unnamed ones by name


class Decontaminate(StrictModel):
    """What of a benchmark must not be in training data."""

    enabled: bool = True
    ngram_words: int = Field(default=8, ge=2)
    min_coverage: float = Field(default=0.5, gt=0, le=1)  # of a benchmark text's n-grams
    common_in: int = Field(default=10, ge=1)  # n-grams in more benchmark texts are boilerplate
    images: bool = True
    heldout: Literal["image-and-text", "image"] = "image-and-text"  # of the corpus's own split


class PolicyFile(StrictModel):
    """What the YAML file of a policy holds."""

    filters: dict[str, list[dict[str, Any]]] = {}
    dedup: Dedup = Dedup()
    decontaminate: Decontaminate = Decontaminate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy as read, its rules built."""

    name: str
    rules: Mapping[str, tuple[Rule, ...]]  # by group: all, text, image, multi-image, video
    dedup: Dedup
    decontaminate: Decontaminate
    spec: Mapping[str, Any]  # as JSON, without comments and sources

    def digest(self) -> str:
        """Identity of everything that decides what is kept."""
        return digest_json(self.spec)

    def filters_digest(self) -> str:
        """Identity of the rules alone."""
        return digest_json(self.spec["filters"])

    def scorers(self) -> tuple[str, ...]:
        """Return the scorers that its rules name."""
        every = (rule for rules in self.rules.values() for rule in rules)
        return tuple(sorted({r.scorer for r in every if isinstance(r, ScoreLow)}))

    def broken_rule(self, view: View) -> tuple[str, str] | None:
        """Return (reason, detail) of the first rule the sample breaks, or None."""
        for group in _APPLIES[view.sample.modality]:
            for rule in self.rules.get(group, ()):
                if (detail := rule.why(view)) is not None:
                    return rule.name, detail
        return None


def _rule(where: str, entry: Mapping[str, Any]) -> Rule:
    known = dict(entry)
    name = known.pop("rule", None)
    known.pop("source", None)
    if not isinstance(name, str):
        raise UsageError(f"{where}: an entry without `rule`; write `- rule: NAME`")
    if name not in RULES:
        raise UsageError(
            f"{where}: rule {name!r} is unknown; known: {', '.join(sorted(RULES))}"
            f"{nearest(name, RULES)}"
        )
    rule = RULES[name]
    wanted = {f.name for f in fields(rule)}  # type: ignore[arg-type]
    for key in known:
        if key not in wanted:
            allowed = ", ".join(sorted(wanted)) or "none"
            raise UsageError(
                f"{where}.{name}: threshold {key!r} is unknown; known: {allowed}"
                f"{nearest(key, wanted)}"
            )
    if rule is ScoreLow and known.get("scorer") not in SCORERS:
        scorer = str(known.get("scorer"))
        raise UsageError(
            f"{where}.{name}.scorer: {scorer!r} is unknown; known: {', '.join(SCORERS)}"
            f"{nearest(scorer, SCORERS)}"
        )
    try:
        return TypeAdapter(rule).validate_python(known)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where}.{name}.{key}: {first['msg']}") from error


def parse(text: str, where: str) -> Policy:
    """Return the policy that YAML text describes.

    Raises:
        UsageError: the text is not YAML, or holds a key, rule or threshold that is not known.
    """
    return parse_mapping(mapping_in(text, where, _HOLDS), where)


def parse_mapping(value: Mapping[str, Any], where: str) -> Policy:
    """Return the policy that a parsed file holds; `where` is said in messages.

    Raises:
        UsageError: a key, rule or threshold is not known, or a value is not allowed.
    """
    file = validated(PolicyFile, value, where)
    for group in file.filters:
        if group not in _GROUPS:
            raise UsageError(
                f"{where}: filters.{group} is unknown; known: {', '.join(_GROUPS)}"
                f"{nearest(group, _GROUPS)}"
            )
    rules = {
        group: tuple(_rule(f"{where}: filters.{group}", e) for e in entries)
        for group, entries in file.filters.items()
    }
    spec = file.model_dump(mode="json")
    for entries in spec["filters"].values():
        for entry in entries:
            entry.pop("source", None)
    return Policy(
        name=where,
        rules=rules,
        dedup=file.dedup,
        decontaminate=file.decontaminate,
        spec=spec,
    )


def load(name: str = DEFAULT) -> Policy:
    """Return a policy by name (`default`) or by the path of a YAML file.

    Raises:
        UsageError: there is no such policy, or it is wrong.
    """
    path = Path(name)
    if not name.endswith((".yaml", ".yml")):
        path = POLICIES / f"{name}.yaml"
        if not path.is_file():
            known = sorted(p.stem for p in POLICIES.glob("*.yaml"))
            raise UsageError(
                f"--policy {name}: no such policy; known: {', '.join(known)}, or the path of a "
                f"file that ends in .yaml{nearest(name, known)}"
            )
    return parse_mapping(read_mapping(path, _HOLDS), str(path))
