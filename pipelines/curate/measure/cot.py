"""Chain of thought: whether an answer reasons before it answers, and the evidence.

The detector reads assistant turns only. One strong sign is enough (reasoning tags, "step by
step", a boxed or marked final answer after working); weaker signs (connectives, numbered steps,
equations) must come together with a conclusion. How often it is right is measured on a labelled
set in `tests/pipelines/curate/measure/cot.jsonl`; `docs/cot.md` gives the numbers.
"""

import re

from smolmix.sample import Turn

_TAGS = re.compile(
    r"</?(think|thinking|thought|reasoning|rationale|scratchpad|cot)>"
    r"|<(SUMMARY|CAPTION|REASONING|CONCLUSION)>",
    re.IGNORECASE,
)
_MARKED = re.compile(r"\\boxed\s*\{|^####\s*\S|\[answer\]", re.IGNORECASE | re.MULTILINE)
_PHRASE = re.compile(
    r"\b(let'?s|let us|i will|i'll|we can|we will|i need to|we need to) "
    r"(think|reason|work|break|go|solve|figure|analy[sz]e|consider)\b[^.\n]{0,40}"
    r"\b(step|through|out|down|this|carefully)\b"
    r"|\b(think|thinking|reason|reasoning|work|working|solve|solving)\b[^.\n]{0,25}"
    r"\bstep[ -]by[ -]step\b"
    r"|\bstep[ -]by[ -]step (reasoning|solution|analysis|explanation|approach)\b"
    r"|^(reasoning|rationale|chain of thought|thought process|solution)\s*:",
    re.IGNORECASE | re.MULTILINE,
)
_STEP = re.compile(
    r"^\s*(\*\*)?(step\s*\d+|first(ly)?|second(ly)?|third(ly)?|next|then|finally)\b[,:.) ]"
    r"|(?<=[.!?] )(First|Second|Third|Next|Then|Finally|To begin)\b,?",
    re.IGNORECASE | re.MULTILINE,
)
_INFER = re.compile(
    r"\b(therefore|thus|hence|consequently|so,|so (the|we|it|there|he|she|they|this|that|his|her|"
    r"its|each|you|i|x|y|n)\b|which (means|implies|gives|tells)|this (means|implies|indicates|"
    r"suggests|tells|gives|leaves)|it follows|we (get|have|find|know|can see|obtain|need)|"
    r"because|since|given that|if .{3,60} then|must be|cannot be|can'?t be|rules? out|"
    r"eliminat\w+|by elimination|however|but (that|this|the|it)|implies|deduce|infer|conclude)\b",
    re.IGNORECASE,
)
_CONCLUDE = re.compile(
    r"\b(the )?(final |correct |right |best )?(answer|choice|option|result|solution)"
    r"( choice| option)? (is|must be|should be|would be|will be|:)"
    r"|\b(therefore|thus|hence|so|in conclusion|consequently)\b,?[^.\n]{0,160}"
    r"(\bis\b|\bare\b|\bwas\b|\bmust\b|\bhas\b|\bhave\b|\bneeds?\b|\bwill\b|\bcan\b|=|\d)[^\n]{0,120}\Z"
    r"|\banswer\s*:\s*\S",
    re.IGNORECASE,
)
_SUM = re.compile(
    r"\d[\d,.]*\s*(?:[-+*/×÷·^]|\\times|\\cdot)\s*\(?\d[^=\n]{0,40}=\s*\$?-?\d|<<[^<>]+="
)
_NARRATIVE = re.compile(
    r"\b(ingredients|preheat|tablespoons?|once upon|click|install|tap the|open the app|"
    r"chapter|screw|menu|settings)\b",
    re.IGNORECASE,
)
_MIN_CHARS = 60  # nothing shorter holds both a thought and an answer
_ENOUGH = 4


def detect(turns: tuple[Turn, ...]) -> str:
    """Return the evidence that an assistant turn reasons before it answers, or ""."""
    if all(t.role == "assistant" for t in turns):
        return ""  # a document, not an answer
    for turn in turns:
        if turn.role == "assistant" and (evidence := _evidence(turn.text)):
            return evidence
    return ""


def _evidence(text: str) -> str:
    if tag := _TAGS.search(text):
        return f"tag {tag.group(0)}"
    if len(text) < _MIN_CHARS:
        return ""
    sums, infers = len(_SUM.findall(text)), len(_INFER.findall(text))
    steps = len(_STEP.findall(text))
    concludes = _CONCLUDE.search(text)
    if (mark := _MARKED.search(text)) and (sums or infers or steps >= 2 or len(text) > 150):
        return f"marked answer {mark.group(0).strip()!r}"
    if (phrase := _PHRASE.search(text)) and (concludes or sums or infers):
        return f"phrase {' '.join(phrase.group(0).split())[:60]!r}"
    if _NARRATIVE.search(text):
        return ""
    score = min(sums, 2) * 2 + min(infers, 3) + min(steps, 2) + (2 if concludes else 0)
    if score >= _ENOUGH and (concludes or sums >= 2):
        return f"{sums} sums, {infers} inferences, {steps} steps, conclusion {bool(concludes)}"
    return ""
