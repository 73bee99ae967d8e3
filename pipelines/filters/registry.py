"""Every rule by its name."""

from smolmix.pipelines.filters import conversations, faults, images, texts, videos
from smolmix.pipelines.filters.view import Rule

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rules in (conversations.RULES, faults.RULES, images.RULES, texts.RULES, videos.RULES)
    for rule in rules
}
