"""lmms-eval's model class for smolmix checkpoints.

lmms-eval finds it by the entry point `lmms_eval.models` of this package:
`python -m lmms_eval --model smolmix --model_args pretrained=demo,workspace=workspace --tasks …`
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmms_eval.api.model import lmms
from PIL import Image

from smolmix.errors import UsageError
from smolmix.model.eval.generate import Batching
from smolmix.model.eval.harness.answerer import Answerer, Piece
from smolmix.model.eval.run import MAX_NEW_TOKENS

_MARK = "<image>"
_AT_ONCE = 256  # questions whose media are in memory


class SmolmixForLmmsEval(lmms):  # type: ignore[misc]  # lmms-eval has no types
    """Generates answers; likelihoods and tasks of several rounds are refused."""

    is_simple = True

    def __init__(
        self,
        pretrained: str,
        workspace: str = "workspace",
        profile: str | None = None,
        batch_size: int | str = 96,
        max_batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        """Open a checkpoint.

        Args:
            pretrained: a run of the workspace, a folder in transformers' format, or a hub id.
            workspace: holds the runs.
            profile: pixel preset of a checkpoint that smolmix did not write.
            batch_size: questions in the model at once, at most.
            max_batch_size: not used; a batch is bounded by its tiles.
            device: not used; a GPU is taken where there is one.
        """
        super().__init__()
        batching = Batching(prompts=int(batch_size))
        self._answerer = Answerer(
            pretrained, workspace=workspace, preset=profile, batching=batching
        )

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return the answer to each request, cut before the first of its stop strings."""
        texts = [""] * len(requests)
        by_options: dict[str, list[int]] = {}
        for at, request in enumerate(requests):
            by_options.setdefault(repr(sorted(request.args[1].items())), []).append(at)
        for places in by_options.values():
            options = dict(requests[places[0]].args[1])
            for start in range(0, len(places), _AT_ONCE):
                some = places[start : start + _AT_ONCE]
                for at, text in zip(some, self._answers(requests, some, options), strict=True):
                    texts[at] = text
                    args = (requests[at].args[0], options)
                    self.cache_hook.add_partial("generate_until", args, text)
        return texts

    def _answers(
        self, requests: Sequence[Any], places: Sequence[int], options: dict[str, Any]
    ) -> list[str]:
        if int(options.get("num_beams") or 1) > 1:
            raise UsageError("num_beams: smolmix decodes greedily or samples; remove it")
        questions = []
        for at in places:
            context, _, to_visual, doc_id, task, split = requests[at].args
            questions.append(pieces(context, to_visual(self.task_dict[task][split][doc_id]) or []))
        sampled = bool(options.get("do_sample", True))
        texts = self._answerer.answers(
            questions,
            max_new_tokens=int(options.get("max_new_tokens") or MAX_NEW_TOKENS),
            temperature=float(options.get("temperature") or 0) if sampled else 0.0,
        )
        stops = options.get("until") or []
        return [cut(text, [stops] if isinstance(stops, str) else stops) for text in texts]

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Refuse: only generated answers are supported."""
        raise NotImplementedError("smolmix in lmms-eval: no tasks of type loglikelihood")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse: a task of several rounds needs turns of its own."""
        raise NotImplementedError("smolmix in lmms-eval: no tasks of several rounds")


def pieces(context: str, visuals: Sequence[Any]) -> list[Piece]:
    """Return a question's pieces: visuals where the text marks them, otherwise all before the text.

    Args:
        context: the task's text; `<image>` marks a visual's place if there is one for each.
        visuals: pictures, or paths of video files.

    Raises:
        UsageError: a visual is neither, such as audio.
    """
    shown: list[Piece] = []
    for visual in visuals:
        if isinstance(visual, Image.Image):
            shown.append(visual)
        elif isinstance(visual, str):
            shown.append(Path(visual))
        else:
            raise UsageError(f"{type(visual).__name__}: neither a picture nor a video file")
    texts = context.split(_MARK)
    if len(texts) - 1 != len(shown):
        return [*shown, context.replace(_MARK, "")]
    out: list[Piece] = []
    for text, visual in zip(texts, [*shown, None], strict=True):
        out += [text] if text else []
        out += [visual] if visual is not None else []
    return out


def cut(text: str, stops: Sequence[str]) -> str:
    """Return the text before the first stop string in it."""
    ends = [text.find(stop) for stop in stops if stop and stop in text]
    return text[: min(ends)].strip() if ends else text
