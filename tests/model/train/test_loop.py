"""Sums of losses by document and by group, and random states."""

import random
from typing import Any

import numpy as np
import torch
from tests.support.sequences import Document, packed

from smolmix.model.train.loop import (
    document_sums,
    group_losses,
    random_state,
    restore_random_state,
)
from smolmix.model.train.step import pack


def test_document_sums_add_each_documents_losses(documents: list[Document]) -> None:
    one = pack(packed(documents))
    losses = torch.arange(one.n_supervised, dtype=torch.float32)
    sums = document_sums(one, losses)
    assert sums.dtype == torch.float64
    expected, start = [], 0
    for count in one.supervised_in:
        expected.append(losses[start : start + count].sum().item())
        start += count
    assert sums.tolist() == expected
    assert start == one.n_supervised > 0


def test_losses_are_summed_by_modality_and_corpus() -> None:
    sequence = {"modalities": ["image", "text", "image"], "corpora": ["a", "a", "b"]}
    found = group_losses(sequence, [2, 3, 4], [1.0, 2.0, 4.0])
    assert found == {
        "modality/image": (5.0, 6), "modality/text": (2.0, 3),
        "corpus/a": (3.0, 5), "corpus/b": (4.0, 4),
    }  # fmt: skip
    assert group_losses({}, [2], [1.0]) == {}


def drawn() -> tuple[float, float, Any]:
    return random.random(), float(np.random.rand()), torch.rand(3).tolist()


def test_restored_generators_repeat_what_they_drew() -> None:
    drawn()
    state = random_state()
    first = drawn()
    assert drawn() != first
    restore_random_state(state)
    assert drawn() == first
