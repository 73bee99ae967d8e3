import json
import re
from pathlib import Path

from smolmix.pipelines.curate.measure import cot
from smolmix.sample import turns_of

HERE = Path(__file__).parent


def test_precision_and_recall_are_those_the_docs_print() -> None:
    rows = [json.loads(line) for line in (HERE / "cot.jsonl").read_text().splitlines()]
    hits = [bool(cot.detect(turns_of(("user", "Why?"), ("assistant", r["text"])))) for r in rows]
    right = sum(hit and r["cot"] for hit, r in zip(hits, rows, strict=True))
    wanted = sum(r["cot"] for r in rows)
    found = len(rows), wanted, f"{right / sum(hits):.3f}", f"{right / wanted:.3f}"
    docs = (HERE.parents[3] / "docs" / "cot.md").read_text()
    row = re.search(r"^\| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \|$", docs, re.MULTILINE)
    assert row is not None
    assert (int(row[1]), int(row[2]), row[3], row[4]) == found


def test_a_document_is_no_answer() -> None:
    text = "Let's think step by step. 2 + 2 = 4. Therefore the answer is 4."
    assert cot.detect(turns_of(("assistant", text))) == ""
    assert cot.detect(turns_of(("user", "?"), ("assistant", text))).startswith("phrase")
    assert cot.detect(turns_of(("user", text), ("assistant", "4"))) == ""
