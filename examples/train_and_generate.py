"""Train a nano model for a few steps, open the checkpoint, and ask it a question.

Needs the mixture of examples/build_mixture.py; run that first. A few steps teach next to nothing:
the answer shows only that everything works. Run: python examples/train_and_generate.py
"""

from pathlib import Path

import smolmix

WORKSPACE = "example-workspace"
RECIPE = """
name: my-first-run
profile: {preset: nano, style: inference}   # the same as in the mixture's spec
model: {preset: nano}                       # random weights; `checkpoint: ID` continues from one
stages:
  - name: only
    mixture: my-mixture
    sequence_tokens: 256
    sequences_per_step: 1
    steps: 4
    learning_rate: {vision: 3.0e-3, connector: 3.0e-3, lm: 3.0e-3, embeddings: 1.0e-3}
"""


def main() -> None:
    """Tokenize, train, and generate."""
    Path("recipe.yaml").write_text(RECIPE)
    smolmix.tokenize_mixture("my-mixture", WORKSPACE, sequence_length=256)

    run = smolmix.train_model("recipe.yaml", WORKSPACE)
    print(f"{run.steps} steps in {run.seconds:.1f} s; checkpoint: {run.folder}")

    checkpoint = smolmix.load_checkpoint("my-first-run", WORKSPACE)
    answer = smolmix.generate(
        checkpoint,
        "Which shape is in the picture?",
        images=["pictures/5.png"],
        max_new_tokens=8,
    )
    print(f"parameters: {sum(p.numel() for p in checkpoint.model.parameters()):,}")
    print(f"answer: {answer!r}")


if __name__ == "__main__":
    main()
