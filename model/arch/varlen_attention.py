"""Attention in which each document of a packed sequence sees only itself.

Masks of 8,192² are never built. On a CPU documents of like length are stacked and attended
causally in one call: padding lies behind every real token, so causality alone keeps it unseen
and the result is exact. On CUDA, in half precision, the same boundaries go to the
variable-length FlashAttention that comes with torch. Registered with transformers as attention
`smolmix_documents`.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface

ATTENTION = "smolmix_documents"
_PADDING = 0.8  # documents join a stack if at least this full
_HALF = (torch.bfloat16, torch.float16)
# torch 2.11 shares key-value heads without being told to.
_TOLD_OF_GROUPS = "enable_gqa" in inspect.signature(varlen_attn).parameters


@dataclass(frozen=True, slots=True)
class Stack:
    """Documents attended together.

    `take` (documents, longest) are token positions, padding pointing at the document's first
    token; `real` are the flat places in that grid that are tokens, None where all are.
    """

    take: Tensor
    real: Tensor | None


@dataclass(frozen=True, slots=True)
class Documents:
    """Where a packed sequence's documents lie, made once a sequence and used by every layer."""

    spans: Tensor  # (spans + 1,) int32, cumulative lengths of what is attended together
    longest: int  # of them
    stacks: tuple[Stack, ...]  # empty: all attended as one document
    order: Tensor | None  # for each token, its place in the stacks' tokens laid end to end

    @classmethod
    def of_lengths(
        cls, lengths: Sequence[int], device: torch.device | str = "cpu", *, separate: bool = True
    ) -> "Documents":
        """Return the plan for documents of these lengths, laid end to end.

        Args:
            lengths: tokens of each.
            device: where the model is.
            separate: off: they are attended as one, each seeing those before it.
        """
        sizes = torch.tensor([0, *lengths])
        starts = sizes.cumsum(0)
        if len(lengths) <= 1 or not separate:
            whole = starts[[0, -1]].to(device, torch.int32)
            return cls(whole, sum(lengths), (), None)
        stacks = []
        placed = []
        for group in _groups(lengths):
            longest = max(lengths[d] for d in group)
            base = starts[group]
            length = sizes[1:][group]
            steps = torch.arange(longest)
            inside = steps[None, :] < length[:, None]
            take = base[:, None] + torch.where(inside, steps[None, :], 0)
            full = bool(inside.all())
            real = None if full else inside.flatten().nonzero().squeeze(1).to(device)
            stacks.append(Stack(take.to(device), real))
            placed.append(take[inside])
        order = torch.empty(int(starts[-1]), dtype=torch.long)
        order[torch.cat(placed)] = torch.arange(int(starts[-1]))
        spans = starts.to(device, torch.int32)
        return cls(spans, max(lengths), tuple(stacks), order.to(device))


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield documents of like length together, longest first."""
    by_length = sorted(range(len(lengths)), key=lambda d: (-lengths[d], d))
    group: list[int] = []
    for d in by_length:
        if group and lengths[d] < _PADDING * lengths[group[0]]:
            yield group
            group = []
        group.append(d)
    if group:
        yield group


def _flash(query: Tensor, key: Tensor, value: Tensor, at: Documents, scale: float | None) -> Tensor:
    """Attend by torch's own variable-length FlashAttention; (tokens, heads, dim) each."""
    options: dict[str, Any] = {"scale": scale, "window_size": (-1, 0)}
    if _TOLD_OF_GROUPS:
        options["enable_gqa"] = query.shape[1] != key.shape[1]
    out = varlen_attn(query, key, value, at.spans, at.spans, at.longest, at.longest, **options)
    assert isinstance(out, Tensor)
    return out


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    return functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
    )


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    documents: Documents | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend causally within each document.

    Args:
        module: the attention layer; unused.
        query: (1, heads, tokens, dim).
        key: (1, key-value heads, tokens, dim).
        value: as `key`.
        attention_mask: must be None.
        scaling: factor of the scores.
        documents: where the documents lie; None means one document a row.
        kwargs: what else transformers passes.

    Returns:
        (1, tokens, heads, dim), and no weights.
    """
    assert attention_mask is None, "packed attention takes documents, not a mask"
    if documents is None:
        return _causal(query, key, value, scaling).transpose(1, 2).contiguous(), None
    if query.is_cuda and torch.is_autocast_enabled("cuda"):
        # RoPE's cosines are in fp32 and leave queries and keys so; SDPA alone would cast them.
        query, key = query.to(value.dtype), key.to(value.dtype)
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (tokens, heads, dim)
    if query.is_cuda and query.dtype in _HALF:
        return _flash(q, k, v, documents, scaling)[None], None
    if documents.order is None:
        return _causal(query, key, value, scaling).transpose(1, 2).contiguous(), None
    pieces = []
    for stack in documents.stacks:
        some_q, some_k, some_v = (x[stack.take].transpose(1, 2) for x in (q, k, v))
        out = _causal(some_q, some_k, some_v, scaling).transpose(1, 2).flatten(0, 1)
        pieces.append(out if stack.real is None else out[stack.real])
    return torch.cat(pieces)[documents.order][None], None


AttentionInterface.register(ATTENTION, attention)


@contextmanager
def plain_attention(model: Any, implementation: str = "sdpa") -> Iterator[None]:
    """Give the language model another attention for a while: padding masks need a plain one."""
    config = model.model.text_model.config
    before = config._attn_implementation
    config._attn_implementation = implementation
    try:
        yield
    finally:
        config._attn_implementation = before


def use_document_attention(model: Any) -> None:
    """Make a SmolVLM attend by documents from now on."""
    model.model.text_model.config._attn_implementation = ATTENTION
