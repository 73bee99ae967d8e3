"""Rules that samples must pass; a policy chooses among them. `RULES` holds all by name."""

from smolmix.pipelines.curate.rules import (
    conversations as conversations,
)
from smolmix.pipelines.curate.rules import (
    images as images,
)
from smolmix.pipelines.curate.rules import (
    quality as quality,
)
from smolmix.pipelines.curate.rules import (
    texts as texts,
)
from smolmix.pipelines.curate.rules import (
    videos as videos,
)
from smolmix.pipelines.curate.rules.rule import RULES as RULES
