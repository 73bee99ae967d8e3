"""Plan a mixture, then build it: 70 % of the tokens from pictures, 30 % from text.

Planning needs no data. Building needs the corpora of examples/curate_corpus.py; run that first.
Run: python examples/build_mixture.py
"""

from pathlib import Path

import smolmix

WORKSPACE = "example-workspace"
SPEC = """
name: my-mixture
profile: {preset: nano, style: inference}   # how pictures become tokens
unit: tokens                                # what shares are shares of
total: max                                  # as large as the constraints allow
components:
  pictures: {corpus: my-pictures, share: 70 %, epochs: 4}
  notes: {corpus: my-notes, share: 30 %, epochs: 4}
"""


def main() -> None:
    """Plan a mixture that ships, then plan and build one of your own."""
    plan = smolmix.plan_mixture("starter")
    print(f"{plan.name}: {plan.samples.value:,.0f} samples planned, no data needed")

    Path("my-mixture.yaml").write_text(SPEC)
    spec = smolmix.read_spec("my-mixture.yaml")
    plan = smolmix.plan_mixture(spec, WORKSPACE, count=True)
    for modality, (samples, tokens) in plan.modality.items():
        print(f"{plan.name}: {modality} has {samples:.1%} of samples and {tokens:.1%} of tokens")

    lock = smolmix.build_mixture(spec, WORKSPACE)
    print(f"{lock.name}: {lock.samples:,} samples selected from {', '.join(lock.corpora)}")


if __name__ == "__main__":
    main()
