"""`smolmix curate --compare`: two policies on the same measures, next to each other.

No corpus is written. Pairs of media that both policies compare in the same way are compared once.
"""

from dataclasses import asdict, dataclass

from smolmix import curated
from smolmix.engine.stage import IN_THIS_PROCESS, RunOptions
from smolmix.pipelines.curate.dedup.merge import MERGED
from smolmix.pipelines.curate.policy import Policy
from smolmix.pipelines.curate.run import apply_policy
from smolmix.pipelines.curate.steps import WORK, Steps
from smolmix.pipelines.curate.waterfall import Waterfall, waterfall
from smolmix.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What two policies keep of one corpus."""

    corpus: str
    one: Waterfall
    other: Waterfall
    both: int
    only_one: int
    only_other: int

    def to_json(self) -> dict[str, object]:
        """Return the comparison as plain JSON values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the comparison as a table for a terminal."""
        rows = [("samples", self.one.samples, self.other.samples)]
        first, second = (
            w.dropped | w.duplicates | ({MERGED: w.merged} if w.merged else {})
            for w in (self.one, self.other)
        )
        rows += [(f"- {r}", first.get(r, 0), second.get(r, 0)) for r in sorted(first | second)]
        rows.append(("kept", self.one.kept, self.other.kept))
        wide = max(len(name) for name, _, _ in rows)
        ends = [max(len(w.policy), 10) for w in (self.one, self.other)]
        lines = [
            self.corpus,
            f"  {'':<{wide}}  {self.one.policy:>{ends[0]}}  {self.other.policy:>{ends[1]}}",
        ]
        lines += [f"  {n:<{wide}}  {a:>{ends[0]},}  {b:>{ends[1]},}" for n, a, b in rows]
        lines.append(
            f"  kept by both {self.both:,}, only by the first {self.only_one:,}, "
            f"only by the second {self.only_other:,}"
        )
        return lines


def compare_policies(
    corpus: str,
    one: Policy,
    other: Policy,
    workspace: Workspace,
    *,
    options: RunOptions = IN_THIS_PROCESS,
) -> Comparison:
    """Apply both policies to a measured corpus and return how they differ.

    Raises:
        IncompleteError: the corpus is not measured.
    """
    folders = []
    for policy in (one, other):
        steps = Steps(
            workspace=workspace,
            work=f"{WORK}/policies/{policy.digest()[:12]}",
            options=options.for_steps(),
        )
        folder = steps.folder("curated", corpus)
        apply_policy(corpus, policy, steps, folder=folder)
        folders.append(folder)
    both = only_one = only_other = 0
    for part in curated.part_names(folders[0]):
        a, b = (set(curated.read_rows(folder, part, ["id"])["id"]) for folder in folders)
        both += len(a & b)
        only_one += len(a - b)
        only_other += len(b - a)
    return Comparison(
        corpus=corpus,
        one=waterfall(workspace, corpus, folders[0]),
        other=waterfall(workspace, corpus, folders[1]),
        both=both,
        only_one=only_one,
        only_other=only_other,
    )
