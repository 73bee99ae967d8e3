"""Attention in which each document of a packed sequence attends only to itself.

Masks of 8,192² are never built. On a CPU, documents of similar length are stacked and attended
causally in one call: padding comes after every real token, so the causal mask hides it and the
result is exact. On CUDA, in half precision, the same boundaries go to torch's variable-length
FlashAttention. Registered with transformers as attention `smolmix_documents`.
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
_SIMILAR = 0.8  # a document joins a stack if it is at least this share of the longest
_HALF = (torch.bfloat16, torch.float16)
# torch 2.11 shares key-value heads without the argument.
_TAKES_ENABLE_GQA = "enable_gqa" in inspect.signature(varlen_attn).parameters


@dataclass(frozen=True, slots=True)
class Stack:
    """Documents attended in one call."""

    take: Tensor  # (documents, longest) int64: token positions; padding is the first token's
    real: Tensor | None  # (tokens,) int64: flat indices into `take` that are tokens; None: all


@dataclass(frozen=True, slots=True)
class Documents:
    """Where the documents of a packed sequence are; made once for all layers."""

    spans: Tensor  # (documents + 1,) int32, cumulative lengths
    longest: int  # tokens of the longest document
    stacks: tuple[Stack, ...]  # empty: the sequence is one document
    order: Tensor | None  # (tokens,) int64: index of each token in the concatenated stacks

    @classmethod
    def of_lengths(
        cls, lengths: Sequence[int], device: torch.device | str = "cpu", *, separate: bool = True
    ) -> "Documents":
        """Return the plan for concatenated documents of these lengths.

        Args:
            lengths: tokens of each document.
            device: of the model.
            separate: False: all are one document, so that each attends to those before it.
        """
        sizes = torch.tensor([0, *lengths])
        starts = sizes.cumsum(0)
        if len(lengths) <= 1 or not separate:
            ends = starts[[0, -1]].to(device, torch.int32)
            return cls(ends, sum(lengths), (), None)
        stacks = []
        positions = []
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
            positions.append(take[inside])
        order = torch.empty(int(starts[-1]), dtype=torch.long)
        order[torch.cat(positions)] = torch.arange(int(starts[-1]))
        spans = starts.to(device, torch.int32)
        return cls(spans, max(lengths), tuple(stacks), order.to(device))


def _groups(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield groups of documents of similar length, longest first."""
    by_length = sorted(range(len(lengths)), key=lambda d: (-lengths[d], d))
    group: list[int] = []
    for d in by_length:
        if group and lengths[d] < _SIMILAR * lengths[group[0]]:
            yield group
            group = []
        group.append(d)
    if group:
        yield group


def _flash(query: Tensor, key: Tensor, value: Tensor, at: Documents, scale: float | None) -> Tensor:
    """Attend by torch's variable-length FlashAttention; (tokens, heads, dim) each."""
    options: dict[str, Any] = {"scale": scale, "window_size": (-1, 0)}
    if _TAKES_ENABLE_GQA:
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
        documents: where the documents are; None: one document a row.
        kwargs: other arguments of transformers; unused.

    Returns:
        (1, tokens, heads, dim), and no weights.
    """
    assert attention_mask is None, "packed attention takes documents, not a mask"
    if documents is None:
        return _causal(query, key, value, scaling).transpose(1, 2).contiguous(), None
    if query.is_cuda and torch.is_autocast_enabled("cuda"):
        # RoPE's cosines are fp32 and so are the queries and keys after it; only SDPA would cast.
        query, key = query.to(value.dtype), key.to(value.dtype)
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))  # (tokens, heads, dim)
    if query.is_cuda and query.dtype in _HALF:
        return _flash(q, k, v, documents, scaling)[None], None
    if documents.order is None:
        return _causal(query, key, value, scaling).transpose(1, 2).contiguous(), None
    parts = []
    for stack in documents.stacks:
        some_q, some_k, some_v = (x[stack.take].transpose(1, 2) for x in (q, k, v))
        out = _causal(some_q, some_k, some_v, scaling).transpose(1, 2).flatten(0, 1)
        parts.append(out if stack.real is None else out[stack.real])
    return torch.cat(parts)[documents.order][None], None


AttentionInterface.register(ATTENTION, attention)


@contextmanager
def plain_attention(model: Any, implementation: str = "sdpa") -> Iterator[None]:
    """Use another attention of the language model in the block: padding masks need a plain one."""
    config = model.model.text_model.config
    before = config._attn_implementation
    config._attn_implementation = implementation
    try:
        yield
    finally:
        config._attn_implementation = before


def use_document_attention(model: Any) -> None:
    """Make a SmolVLM's language model attend by document from now on."""
    model.model.text_model.config._attn_implementation = ATTENTION
