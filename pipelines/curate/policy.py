"""A curation policy: which rules, which duplicates, which contamination. Read from YAML.

Unknown keys, rules and thresholds are refused with the nearest known name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from smolmix.config import StrictModel, mapping_in, read_mapping, validated
from smolmix.errors import UsageError, nearest
from smolmix.pipelines.curate.rules import RULES
from smolmix.pipelines.curate.rules.quality import ScoreLow
from smolmix.pipelines.curate.rules.rule import MeasuredSample, MediaError, Rule
from smolmix.pipelines.curate.settings import Decontaminate, Dedup
from smolmix.sample import Sample
from smolmix.storage import digest_json

POLICIES = Path(__file__).resolve().parent / "policies"
DEFAULT = "default"
_HOLDS = (
    "a policy has filters, dedup or decontaminate; the policy `none` keeps all that can be read"
)
_GROUPS = ("all", "text", "image", "multi-image", "video")
# Rules on images also apply to samples with several images.
_APPLIES = {
    "text": ("all", "text"),
    "image": ("all", "image"),
    "multi-image": ("all", "image", "multi-image"),
    "video": ("all", "video"),
}


class PolicyFile(StrictModel):
    """The keys of a policy's YAML file."""

    filters: dict[str, list[dict[str, Any]]] = Field(default={})
    dedup: Dedup = Dedup()
    decontaminate: Decontaminate = Decontaminate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy as read, its rules built."""

    name: str  # of its file, without the folder: digests do not depend on where it is
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

    def broken_rule(self, measured: MeasuredSample) -> tuple[str, str] | None:
        """Return (reason, detail) of the first rule that the sample breaks, or None."""
        for group in _APPLIES[measured.sample.modality]:
            for rule in self.rules.get(group, ()):
                if (detail := rule.problem(measured)) is not None:
                    return rule.name, detail
        return _unreadable(measured.sample)


def _unreadable(sample: Sample) -> tuple[str, str] | None:
    """Return (reason, detail) of the first medium that cannot be shown, or None.

    Such samples are dropped under every policy: if tokenizing dropped them, a mixture would not
    have the shares it was solved for. The frames of a truncated clip can be shown.
    """
    for error in sample.errors:
        reason, _, detail = error.partition(":")
        shown = reason == "video-truncated" and all(m.frames for m in sample.media)
        rule = RULES.get(reason)
        if rule is not None and issubclass(rule, MediaError) and not shown:
            return reason, detail.strip() or reason
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
    wanted = {f.name for f in fields(rule)}  # type: ignore[arg-type]  # `Rule` makes them
    for key in known:
        if key not in wanted:
            allowed = ", ".join(sorted(wanted)) or "none"
            raise UsageError(
                f"{where}.{name}: threshold {key!r} is unknown; known: {allowed}"
                f"{nearest(key, wanted)}"
            )
    if rule is ScoreLow:
        # Few policies use a scorer, and a mistake in the others is answered without polars.
        from smolmix.pipelines.curate.measure.model_scores import SCORERS

        scorer = str(known.get("scorer"))
        if scorer not in SCORERS:
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
        UsageError: the text is not YAML, or a key, rule or threshold is unknown.
    """
    return parse_mapping(mapping_in(text, where, _HOLDS), where)


def parse_mapping(value: Mapping[str, Any], where: str) -> Policy:
    """Return the policy of a parsed file; `where` names the file in messages.

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
        name=where.rsplit("/", 1)[-1],
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
