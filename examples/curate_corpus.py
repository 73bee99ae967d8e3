"""Curate a corpus of your own: pictures with questions, and some text.

Writes a small messy folder first, describes it in a catalogue, and lets smolmix find what is wrong
with it. Run: python examples/curate_corpus.py
"""

import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

import smolmix

WORKSPACE = "example-workspace"
SHAPES = ("circle", "square")
COLOURS = ("red", "green", "blue", "black")
CATALOGUE = """
corpora:
  - {id: my-pictures, path: pictures, format: llava, licence: CC-BY-4.0, category: vqa}
  - {id: my-notes, path: notes, format: llava, licence: CC-BY-4.0, category: text, modality: text}
"""


def write_pictures(folder: Path, count: int = 96) -> None:
    """Write pictures of one shape each, with a question; some rows are broken on purpose."""
    folder.mkdir(exist_ok=True)
    rows = []
    for number in range(count):
        chance = random.Random(number)
        shape, colour = chance.choice(SHAPES), chance.choice(COLOURS)
        image = Image.effect_noise((160, 160), 40 + number).convert("RGB")
        x, y = chance.randrange(10, 80), chance.randrange(10, 80)
        draw = ImageDraw.Draw(image)
        (draw.ellipse if shape == "circle" else draw.rectangle)((x, y, x + 60, y + 60), fill=colour)
        image.save(folder / f"{number}.png")
        question = {"from": "human", "value": "<image>\nWhich shape is in the picture?"}
        answer = {"from": "gpt", "value": f"A {colour} {shape}."}
        rows.append({"id": number, "image": f"{number}.png", "conversations": [question, answer]})
    (folder / "0.png").write_bytes((folder / "1.png").read_bytes())  # the same picture twice
    rows[0]["conversations"] = rows[1]["conversations"]  # ... with the same question
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:200])  # cut off
    (folder / "3.png").unlink()  # missing
    rows[4]["conversations"] = [{"from": "human", "value": "<image>\nWell?"}]  # no answer
    lines = [json.dumps(row) for row in rows] + ["this line is not JSON"]
    (folder / "rows.jsonl").write_text("\n".join(lines))


def write_notes(folder: Path, count: int = 48) -> None:
    """Write text-only conversations."""
    folder.mkdir(exist_ok=True)
    rows = []
    for number in range(count):
        other = number * 7 % 31
        question = {"from": "human", "value": f"What is {number} plus {other}?"}
        answer = {"from": "gpt", "value": f"It is {number + other}."}
        rows.append(json.dumps({"id": number, "conversations": [question, answer]}))
    (folder / "rows.jsonl").write_text("\n".join(rows))


def main() -> None:
    """Fetch and curate both corpora, and print what was dropped and what is left."""
    write_pictures(Path("pictures"))
    write_notes(Path("notes"))
    Path("corpora.yaml").write_text(CATALOGUE)
    for name, corpus in smolmix.read_catalogue("corpora.yaml").items():
        smolmix.fetch_corpus(corpus, WORKSPACE)  # links the rows; pictures are read in place
        print("\n".join(smolmix.curate_corpus(name, WORKSPACE).lines()))
        sample = next(smolmix.read_samples(name, WORKSPACE))
        print(f"  first sample: {sample.id}, {[turn.text.strip() for turn in sample.turns]}\n")


if __name__ == "__main__":
    main()
