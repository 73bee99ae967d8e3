"""Attention by document against plain attention under a dense mask."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smolmix.model.arch.varlen_attention import (
    ATTENTION,
    Documents,
    attention,
    plain_attention,
    use_document_attention,
)

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def heads(count: int, tokens: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, count, tokens, 8, generator=generator)


def by_mask(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Softmax attention in float64, written out: (1, tokens, heads, dim)."""
    groups = query.shape[1] // key.shape[1]
    q, k, v = query.double(), *(x.double().repeat_interleave(groups, 1) for x in (key, value))
    scores = (q @ k.transpose(-1, -2)) / q.shape[-1] ** 0.5
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    out: torch.Tensor = (weights @ v).transpose(1, 2)
    return out


@settings(max_examples=25, deadline=None)
@given(LENGTHS, st.sampled_from([(4, 4), (4, 2), (3, 1)]), st.booleans())
def test_attention_by_document_is_masked_attention(
    lengths: list[int], counts: tuple[int, int], separate: bool
) -> None:
    tokens = sum(lengths)
    query, key, value = (heads(n, tokens, s) for s, n in enumerate((counts[0], *counts[1:] * 2)))
    plan = Documents.of_lengths(lengths, separate=separate)
    found, _ = attention(torch.nn.Module(), query, key, value, None, documents=plan)
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    mask = causal & (owner[:, None] == owner[None]) if separate else causal
    expected = by_mask(query, key, value, mask)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)


def test_without_a_plan_each_row_is_one_causal_document() -> None:
    query, key, value = (heads(2, 9, s) for s in range(3))
    found, weights = attention(torch.nn.Module(), query, key, value, None)
    mask = torch.ones(9, 9, dtype=torch.bool).tril()
    expected = by_mask(query, key, value, mask)
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-4)
    assert weights is None


@pytest.mark.parametrize("lengths", [[5], [7, 7, 7], [1, 100, 3, 90, 2, 2], list(range(1, 30))])
def test_the_plan_places_every_token_once(lengths: list[int]) -> None:
    plan = Documents.of_lengths(lengths)
    assert plan.spans.tolist() == [0, *np.cumsum(lengths)]
    assert plan.longest == max(lengths)
    if len(lengths) > 1:
        assert plan.order is not None
        assert sorted(plan.order.tolist()) == list(range(sum(lengths)))


@given(LENGTHS)
def test_a_stack_is_at_least_four_fifths_full(lengths: list[int]) -> None:
    rows = 0
    for stack in Documents.of_lengths(lengths).stacks:
        count, longest = stack.take.shape
        filled = count * longest if stack.real is None else len(stack.real)
        assert filled >= 0.8 * count * longest
        rows += count
    assert rows in (0, len(lengths))  # 0: one document needs no stack


def test_plain_attention_is_for_a_while_even_after_an_error() -> None:
    text = SimpleNamespace(config=SimpleNamespace(_attn_implementation="sdpa"))
    model = SimpleNamespace(model=SimpleNamespace(text_model=text))
    use_document_attention(model)
    seen = []

    def fail() -> None:
        with plain_attention(model, "eager"):
            seen.append(text.config._attn_implementation)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen == ["eager"]
    assert text.config._attn_implementation == ATTENTION
