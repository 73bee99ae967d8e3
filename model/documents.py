"""Attention in which each document of a packed sequence sees only itself.

Masks of 8,192² are never built. On a CPU documents of like length are stacked and attended
causally in one call: padding lies behind every real token, so causality alone keeps it unseen
and the result is exact. On CUDA the same boundaries go to FlashAttention's variable-length
kernel where it is installed, and to a compiled flex attention where it is not. Registered with
transformers as attention `smolmix_documents`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface

ATTENTION = "smolmix_documents"
_PADDING = 0.8  # documents join a stack if at least this full
_FLEX_DIM = 16  # smallest head that the compiled flex attention takes


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

    boundaries: Tensor  # (documents + 1,) int32, cumulative lengths
    longest: int  # tokens attended together
    stacks: tuple[Stack, ...]  # empty: all attended as one document
    order: Tensor | None  # for each token, its place in the stacks' tokens laid end to end
    mask: BlockMask | None = None  # for flex attention, where that is what will be used

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
        boundaries = starts.to(device, torch.int32)
        if len(lengths) <= 1 or not separate:
            return cls(boundaries, sum(lengths), (), None)
        stacks = []
        placed = []
        for group in _groups(lengths):
            longest = max(lengths[d] for d in group)
            base = starts[group]
            length = sizes[1:][group]
            steps = torch.arange(longest)
            inside = steps[None, :] < length[:, None]
            take = base[:, None] + torch.where(inside, steps[None, :], 0)
            whole = bool(inside.all())
            real = None if whole else inside.flatten().nonzero().squeeze(1).to(device)
            stacks.append(Stack(take.to(device), real))
            placed.append(take[inside])
        order = torch.empty(int(starts[-1]), dtype=torch.long)
        order[torch.cat(placed)] = torch.arange(int(starts[-1]))
        on_flex = torch.device(device).type == "cuda" and _varlen() is None
        mask = document_mask(lengths, device) if on_flex else None
        return cls(boundaries, max(lengths), tuple(stacks), order.to(device), mask)


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


def document_mask(lengths: Sequence[int], device: torch.device | str) -> BlockMask:
    """Return flex attention's mask: causal, within documents of these lengths laid end to end."""
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(device)

    def sees(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (owner[query] == owner[key])

    tokens = sum(lengths)
    return create_block_mask(sees, None, None, tokens, tokens, device=str(device))


@cache
def _compiled_flex() -> Any:
    return torch.compile(flex_attention)


def flex(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: BlockMask,
    *,
    scale: float | None = None,
    compiled: bool = True,
) -> Tensor:
    """Attend by a block mask, (1, heads, tokens, dim); uncompiled it builds every score."""
    attend = _compiled_flex() if compiled else flex_attention
    grouped = query.shape[1] != key.shape[1]
    out: Tensor = attend(query, key, value, block_mask=mask, scale=scale, enable_gqa=grouped)
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
    if documents is None or documents.order is None:
        return _causal(query, key, value, scaling).transpose(1, 2).contiguous(), None
    if query.is_cuda and torch.is_autocast_enabled("cuda"):
        # RoPE's cosines are in fp32 and leave queries and keys so; SDPA alone would cast them.
        query, key = query.to(value.dtype), key.to(value.dtype)
    if documents.mask is not None and query.shape[-1] >= _FLEX_DIM:
        return flex(query, key, value, documents.mask, scale=scaling).transpose(1, 2), None
    if query.is_cuda and (varlen := _varlen()) is not None and query.dtype != torch.float32:
        out = varlen(
            query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1),
            documents.boundaries, documents.boundaries, documents.longest, documents.longest,
            softmax_scale=scaling, causal=True,
        )  # fmt: skip
        return out[None], None
    tokens = [x[0].transpose(0, 1) for x in (query, key, value)]  # (tokens, heads, dim)
    pieces = []
    for stack in documents.stacks:
        q, k, v = (x[stack.take].transpose(1, 2) for x in tokens)
        out = _causal(q, k, v, scaling).transpose(1, 2).flatten(0, 1)
        pieces.append(out if stack.real is None else out[stack.real])
    return torch.cat(pieces)[documents.order][None], None


def _varlen() -> Any:
    """Return FlashAttention's variable-length kernel, or None where it is not installed."""
    try:
        from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found]
    except ImportError:
        return None
    return flash_attn_varlen_func


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
