"""Magpie-Pro 300K filtered: instructions that a language model wrote and answered.

Licence: not established.
Source: the card of Magpie-Align/Magpie-Pro-300K-Filtered.
"""

from collections.abc import Iterator

from smolmix.pipelines.formats.parquet import Parquet
from smolmix.pipelines.sources.chat import messages_of
from smolmix.pipelines.sources.row import Row
from smolmix.pipelines.sources.source import Hub, Source
from smolmix.sample import Sample, turns_of


def _adapt(row: Row) -> Iterator[Sample]:
    yield row.sample(
        turns=turns_of(*messages_of(row, row.list("conversations"))), category="instruction"
    )


SOURCE = Source(
    id="magpie-pro-300k",
    title="Magpie-Pro 300K filtered",
    role="text-sft",
    modality="text",
    licence="not established",
    origin=Hub(repo="Magpie-Align/Magpie-Pro-300K-Filtered"),
    format=Parquet(columns=("conversations",)),
    adapt=_adapt,
    version=2,
    rows_in=("*.parquet",),
    rows=300_000,
    verified=False,
    unverified="file format, licence, and every column but `conversations`",
)
