"""Every rule by its name."""

from smolmix.pipelines.curate.rules import (
    conversations,
    faults,
    images,
    quality,
    scores,
    texts,
    videos,
)
from smolmix.pipelines.curate.rules.rule import Rule

_GROUPS = (
    conversations.RULES,
    faults.RULES,
    images.RULES,
    quality.RULES,
    scores.RULES,
    texts.RULES,
    videos.RULES,
)

RULES: dict[str, type[Rule]] = {rule.name: rule for rules in _GROUPS for rule in rules}
