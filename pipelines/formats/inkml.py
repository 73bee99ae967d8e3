"""Handwriting in InkML: its annotations and strokes, and a picture of it.

Source: W3C InkML (the elements); facts of MathWriting (its annotations; y grows downwards; a
stroke of one point is a dot; coordinates are device units).
"""

import io
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from PIL import Image, ImageDraw

from smolmix.pipelines.formats.format import UnreadableRow

_LONGEST_PX = 768
_SHORTEST_PX = 64
_PAD_PX = 16
_PEN_PX = 4
_NAMESPACE = "{http://www.w3.org/2003/InkML}"

Stroke = list[tuple[float, float]]


def parse_ink(name: str, data: bytes) -> dict[str, object] | UnreadableRow:
    """Return the annotations by type, `strokes`, and `name`, the file's name.

    A file with a document type declaration is not read: entities in it could expand without end.
    """
    if b"<!" in data.replace(b"<!--", b""):
        return UnreadableRow(reason="ink-broken", detail="a document type declaration")
    try:
        root = ET.fromstring(data)
        values: dict[str, object] = {
            element.get("type", ""): element.text or ""
            for element in root.iter(f"{_NAMESPACE}annotation")
        }
        strokes = [_stroke(e.text or "") for e in root.iter(f"{_NAMESPACE}trace")]
    except (ET.ParseError, ValueError, IndexError) as error:
        return UnreadableRow(reason="ink-broken", detail=f"{error}"[:200])
    return values | {"name": name, "strokes": [s for s in strokes if s]}


def draw(strokes: list[Stroke]) -> bytes:
    """Return the ink as PNG: black on white, aspect ratio kept, scaled to fit.

    Args:
        strokes: at least one, none empty.
    """
    xs = [x for stroke in strokes for x, _ in stroke]
    ys = [y for stroke in strokes for _, y in stroke]
    width, height = max(xs) - min(xs), max(ys) - min(ys)
    scale = (_LONGEST_PX - 2 * _PAD_PX) / max(width, height, 1e-6)
    size = tuple(max(_SHORTEST_PX, round(e * scale) + 2 * _PAD_PX) for e in (width, height))
    left = (size[0] - width * scale) / 2
    top = (size[1] - height * scale) / 2
    image = Image.new("L", (size[0], size[1]), 255)
    pen = ImageDraw.Draw(image)
    for stroke in strokes:
        points = [(left + (x - min(xs)) * scale, top + (y - min(ys)) * scale) for x, y in stroke]
        if len(points) > 1:
            pen.line(points, fill=0, width=_PEN_PX, joint="curve")
        for x, y in (points[0], points[-1]):
            half = _PEN_PX / 2
            pen.ellipse((x - half, y - half, x + half, y + half), fill=0)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def with_picture(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the ink file and, where it can be drawn, its picture under the same name as `.png`."""
    yield name, data
    if not name.endswith(".inkml"):
        return
    values = parse_ink(name, data)
    strokes = [] if isinstance(values, UnreadableRow) else values["strokes"]
    if isinstance(strokes, list) and strokes:
        yield f"{name.removesuffix('.inkml')}.png", draw(strokes)


def _stroke(text: str) -> Stroke:
    points: Stroke = []
    for point in text.replace("\n", " ").split(","):
        if numbers := point.split():
            points.append((float(numbers[0]), float(numbers[1])))
    return points
