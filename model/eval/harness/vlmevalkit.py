"""VLMEvalKit's model class for smolmix checkpoints, and a command that registers and runs it.

VLMEvalKit has no entry points, so its command line is started from here:
`python -m smolmix.model.eval.harness.vlmevalkit CHECKPOINT [--workspace DIR] [--profile P]
-- --data …`
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from vlmeval.vlm.base import BaseModel

from smolmix.model.eval.harness.answerer import Answerer, Piece
from smolmix.model.eval.run import MAX_NEW_TOKENS


class SmolmixForVLMEvalKit(BaseModel):  # type: ignore[misc]  # VLMEvalKit has no types
    """Answers VLMEvalKit's interleaved messages, one at a time."""

    INTERLEAVE = True
    VIDEO_LLM = True  # videos are files, sampled by the checkpoint's own profile

    def __init__(
        self,
        model_path: str,
        *,
        workspace: str = "workspace",
        profile: str | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        **_: Any,
    ):
        """Open a checkpoint.

        Args:
            model_path: a run of the workspace, a folder in transformers' format, or a hub id.
            workspace: holds the runs.
            profile: pixel preset of a checkpoint that smolmix did not write.
            max_new_tokens: longest answer.
        """
        super().__init__()
        self._answerer = Answerer(model_path, workspace=workspace, preset=profile)
        self._max_new_tokens = max_new_tokens

    def generate_inner(
        self, message: Sequence[Mapping[str, Any]], dataset: str | None = None
    ) -> str:
        """Return the answer to one message: parts of type text, image or video."""
        pieces = [_piece(part["type"], part["value"]) for part in message]
        (text,) = self._answerer.answers([pieces], max_new_tokens=self._max_new_tokens)
        return text


def _piece(kind: str, value: str) -> Piece:
    if kind == "image":
        with Image.open(value) as picture:
            picture.load()
            return picture
    return Path(value) if kind == "video" else value


def register(name: str, checkpoint: str, **options: Any) -> None:
    """Add a checkpoint to the models that VLMEvalKit knows by name."""
    from vlmeval.config import supported_VLM

    supported_VLM[name] = partial(SmolmixForVLMEvalKit, model_path=checkpoint, **options)


def main(arguments: Sequence[str]) -> None:
    """Register a checkpoint as `smolmix`, and pass what follows `--` to VLMEvalKit."""
    parser = argparse.ArgumentParser(prog="python -m smolmix.model.eval.harness.vlmevalkit")
    parser.add_argument("checkpoint", help="a run's name, a folder, or a hub id")
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--profile", help="pixel preset of a checkpoint that smolmix did not write")
    parser.add_argument("--max-new-tokens", type=int, default=MAX_NEW_TOKENS)
    own, theirs = list(arguments), []
    if "--" in own:
        at = own.index("--")
        own, theirs = own[:at], own[at + 1 :]
    found = parser.parse_args(own)
    register(
        "smolmix", found.checkpoint, workspace=found.workspace, profile=found.profile,
        max_new_tokens=found.max_new_tokens,
    )  # fmt: skip
    from vlmeval import run

    sys.argv = ["vlmeval", "--model", "smolmix", *theirs]
    run.main()


if __name__ == "__main__":
    main(sys.argv[1:])
