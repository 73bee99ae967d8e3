"""A corpus whose duplicates, look-alikes and contamination are known, curated for real."""

import importlib.metadata
import random
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.support.pictures import encoded, photo

Make = Callable[..., Any]
Curate = Callable[..., Any]

WORDS = tuple(
    re.findall(
        r"\w+",
        """invoice total amount name street city order number item price date customer account paid
        due net gross tax bank code reference unit quantity phone page river stone garden winter
        engine letter market bridge window painter island harbour morning village teacher""",
    )
)
QUESTION, ANSWER = "Describe the picture in a few words.", "It shows what it shows."


def _font(size: int) -> Any:
    return ImageFont.load_default(size=size)


def form(seed: int, template: int) -> Image.Image:
    """One template's form, filled in differently."""
    fixed, filled = random.Random(template), random.Random(seed)
    image = Image.new("RGB", (560, 720), "white")
    draw = ImageDraw.Draw(image)
    draw.text((30, 20), " ".join(fixed.choices(WORDS, k=3)).upper(), font=_font(20), fill="black")
    for line in range(18):
        y = 70 + line * 34
        draw.text((30, y), fixed.choice(WORDS).title() + ":", font=_font(14), fill="black")
        draw.line([160, y + 18, 520, y + 18], fill="gray")
        value = f"{filled.choice(WORDS)} {filled.randint(1, 9999)}"
        draw.text((170, y), value, font=_font(14), fill=(20, 20, 90))
    return image


def page(seed: int) -> Image.Image:
    """A page of running text in one layout."""
    rng = random.Random(seed)
    image = Image.new("RGB", (560, 720), "white")
    draw = ImageDraw.Draw(image)
    for y in range(40, 690, 20):
        draw.text((30, y), " ".join(rng.choices(WORDS, k=9)), font=_font(14), fill="black")
    return image


def chart(seed: int) -> Image.Image:
    """A bar chart of one style."""
    rng = random.Random(seed)
    image = Image.new("RGB", (480, 360), "white")
    draw = ImageDraw.Draw(image)
    draw.line([40, 20, 40, 320], fill="black")
    draw.line([40, 320, 460, 320], fill="black")
    for bar in range(6):
        x, high = 60 + bar * 66, rng.randint(20, 280)
        draw.rectangle([x, 320 - high, x + 40, 320], fill=(40, 90, 200))
        draw.text((x, 325), WORDS[bar], font=_font(12), fill="black")
        draw.text((x, 305 - high), str(high), font=_font(12), fill="black")
    return image


def formula(seed: int) -> Image.Image:
    """A line of mathematics."""
    rng = random.Random(seed)
    image = Image.new("RGB", (400, 140), "white")
    text = (
        f"{rng.randint(2, 99)}x² {rng.choice('+-')} {rng.randint(2, 99)}y = {rng.randint(2, 999)}"
    )
    ImageDraw.Draw(image).text((20, 45), text, font=_font(36), fill="black")
    return image


def scenes(count: int) -> Iterator[bytes]:
    """Real easy-VQA pictures: one coloured shape on a light ground, 64 px."""
    files = importlib.metadata.files("easy-vqa") or []
    places = sorted(str(f) for f in files if "/train/images/" in str(f) and f.suffix == ".png")
    known = {str(f): f for f in files}
    seen = set[bytes]()
    for place in places:
        data = known[place].locate().read_bytes()  # type: ignore[attr-defined]  # a file of a package
        if data not in seen:
            seen.add(data)
            yield data
        if len(seen) == count:
            return


def _scaled(image: Image.Image, by: float, how: Any) -> Image.Image:
    return image.resize((round(image.width * by), round(image.height * by)), how)


def _cropped(image: Image.Image, rng: random.Random) -> Image.Image:
    left, top, right, bottom = (rng.uniform(0, 0.03) for _ in range(4))
    w, h = image.size
    return image.crop((int(left * w), int(top * h), w - int(right * w), h - int(bottom * h)))


def copies(image: Image.Image, rng: random.Random, *, flips: bool) -> Iterator[tuple[str, bytes]]:
    """Near duplicates of a picture as they are found in the wild."""
    lanczos, bilinear = Image.Resampling.LANCZOS, Image.Resampling.BILINEAR
    half = _scaled(image, 0.5, lanczos)
    yield "recompressed", encoded(image, "JPEG", quality=50)
    yield "webp", encoded(image, "WEBP", quality=60)
    yield "halved", encoded(half)
    yield "shrunk", encoded(_scaled(image, 0.7, lanczos), "JPEG", quality=80)
    yield "grown", encoded(_scaled(image, 1.3, bilinear), "JPEG", quality=90)
    yield "cropped", encoded(_cropped(image, rng), "JPEG", quality=85)
    yield "cropped-again", encoded(_cropped(image, rng))
    if flips:
        yield (
            "flipped",
            encoded(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "JPEG", quality=85),
        )


class Truth:
    """Which rows are copies of one thing; a row in no group is alone."""

    def __init__(self) -> None:
        self.groups: dict[str, list[str]] = {}

    def check(self, found: Any) -> tuple[float, float]:
        """Return (recall, precision) of the duplicates dropped."""
        group_of = {k: g for g, ks in self.groups.items() for k in ks}
        missed = 0
        for keys in self.groups.values():
            left = [k for k in keys if k in found.kept]
            missed += max(0, len(left) - 1)
            if len(left) > 1:
                print("missed:", *left)
        wanted = sum(len(ks) - 1 for ks in self.groups.values())
        dropped = {k: d for k, d in found.dropped.items() if d.stage == "dedup"}
        wrong = 0
        for key, one in dropped.items():
            kept = one.kept_id.rsplit("/", 1)[-1].rsplit("-", 1)[0]
            wrong += group_of.get(key, key) != group_of.get(kept, kept)
        return 1 - missed / wanted, 1 - wrong / max(1, len(dropped))


def _plant_pictures(corpus: Any, truth: Truth, *, forms: int, bases: int, small: int) -> int:
    """Plant look-alikes, and near duplicates of some of them; return how many look alike."""
    rng = random.Random(7)
    kinds: dict[str, list[Image.Image]] = {
        "photo": [photo(i) for i in range(bases)],
        "form": [form(i, i % 6) for i in range(forms)],
        "page": [page(i) for i in range(forms // 3)],
        "chart": [chart(i) for i in range(forms // 2)],
        "formula": [formula(i) for i in range(forms // 2)],
    }
    alike = 0
    for kind, images in kinds.items():
        for number, image in enumerate(images):
            key = f"{kind}{number}"
            corpus.ask(key, corpus.file(f"{key}.png", encoded(image)), QUESTION, ANSWER)
            alike += kind != "photo"
            if number >= (bases if kind == "photo" else bases // 2):
                continue
            group = truth.groups.setdefault(key, [key])
            for how, data in copies(image, rng, flips=kind == "photo"):
                name = f"{key}.{how}"
                corpus.ask(name, corpus.file(name, data), QUESTION, ANSWER)
                group.append(name)
    for number, data in enumerate(scenes(small)):
        corpus.ask(f"scene{number}", corpus.file(f"scene{number}.png", data), QUESTION, ANSWER)
        alike += 1
    return alike


def footage(seed: int) -> list[Image.Image]:
    """A slow pan over a picture of its own."""
    image = photo(seed).resize((640, 480), Image.Resampling.BICUBIC)
    return [image.crop((6 * i, 4 * i, 6 * i + 400, 4 * i + 300)) for i in range(24)]


def slides(seed: int, template: int) -> list[Image.Image]:
    """Three forms of one template one after another, as a recorded talk shows them."""
    shown = [form(10 * seed + i, template).resize((420, 540)) for i in range(3)]
    return [shown[i // 8] for i in range(24)]


def filmed(
    frames: list[Image.Image], *, kind: str = "mp4", codec: str = "libx264", **options: str
) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/clip"
        with av.open(path, "w", format=kind) as out:
            track: Any = out.add_stream(codec, rate=8, options=options)
            track.width, track.height = (edge // 2 * 2 for edge in frames[0].size)
            track.pix_fmt = "yuv420p"
            for image in frames:
                out.mux(track.encode(av.VideoFrame.from_ndarray(np.asarray(image))))
            out.mux(track.encode(None))
        return Path(path).read_bytes()


def refilmed(frames: list[Image.Image]) -> Iterator[tuple[str, bytes]]:
    """Near duplicates of a clip as they are found in the wild."""
    lanczos = Image.Resampling.LANCZOS
    yield "recompressed", filmed(frames, crf="36")
    yield "halved", filmed([_scaled(f, 0.5, lanczos) for f in frames], crf="26")
    yield "rewrapped", filmed(frames, kind="matroska", codec="mpeg4", qscale="6")
    yield "flipped", filmed([f.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for f in frames])


def _plant_clips(corpus: Any, truth: Truth, count: int) -> int:
    """Plant clips, most of them alike, and copies of some; return how many look alike."""
    clips = {f"pan{i}": footage(30_000 + i) for i in range(max(2, count // 4))}
    alike = {f"talk{i}": slides(i, i % 3) for i in range(count)}
    for number, (key, frames) in enumerate((clips | alike).items()):
        ask = ("user", [0, QUESTION]), ("assistant", ANSWER)
        corpus.add(key, *ask, videos=[corpus.file(f"{key}.mp4", filmed(frames))])
        if number < len(clips) or number % 4 == 0:
            group = truth.groups.setdefault(key, [key])
            for how, data in refilmed(frames):
                corpus.add(f"{key}.{how}", *ask, videos=[corpus.file(f"{key}.{how}", data)])
                group.append(f"{key}.{how}")
    return len(alike)


def story(seed: int, length: int = 120) -> list[str]:
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(length)]


def _plant_texts(corpus: Any, truth: Truth, exact: Truth, count: int) -> None:
    rng = random.Random(11)
    for number in range(count):
        words = story(number)
        key = f"text{number}"
        corpus.add(key, ("assistant", " ".join(words)))
        spaced = "  ".join(w + rng.choice(["", ",", ".", ";"]) for w in words).replace(" z", "\nz")
        corpus.add(f"{key}.spaced", ("assistant", spaced))
        exact.groups[key] = [key, f"{key}.spaced"]
        edited = list(words)
        for at in rng.sample(range(len(words)), 2):
            edited[at] = "changed"
        corpus.add(f"{key}.edited", ("assistant", " ".join(edited)))
        truth.groups[key] = [key, f"{key}.spaced", f"{key}.edited"]
    template = story(999, 60)
    for number in range(count):  # one template, other numbers: other tasks
        filled = [*template[:30], str(100 + number), *template[30:], str(7000 + 3 * number)]
        corpus.add(f"task{number}", ("user", " ".join(filled)), ("assistant", str(number)))


def run_truth(
    planted: Make,
    curated: Curate,
    *,
    forms: int,
    bases: int,
    small: int,
    clips: int,
    policy: str = "default",
) -> None:
    corpus, near, exact = planted(), Truth(), Truth()
    alike = _plant_pictures(corpus, near, forms=forms, bases=bases, small=small)
    alike += _plant_clips(corpus, near, clips)
    _plant_texts(corpus, near, exact, max(20, forms // 4))
    twice = [r for r in corpus.rows if "." not in r["key"] and r["media"]][::10]
    for row in list(twice):
        key = f"{row['key']}.twice"
        corpus.rows.append(
            {
                **row,
                "key": key,
                "turns": [
                    ["user", [0, QUESTION.replace(" ", "  ")]],
                    ["assistant", ANSWER.rstrip(".") + "!"],
                ],
            }
        )
        group = near.groups.setdefault(row["key"], [row["key"]])
        group.append(key)
        exact.groups[row["key"]] = [row["key"], key]
    found = curated(corpus.write(files=3), policy=policy)
    recall, precision = near.check(found)
    print(f"{alike} look-alikes, recall {recall:.4f}, precision {precision:.4f}")
    assert found.fall.rows == len(corpus.rows)
    exact_recall, _ = exact.check(found)
    assert exact_recall == 1
    assert recall >= 0.95
    assert precision >= 0.99
    good = [r["key"] for r in corpus.rows if not any(r["key"] in g for g in near.groups.values())]
    lost = [k for k in good if k not in found.kept]
    assert len(lost) <= 0.005 * len(good), lost


@pytest.mark.parametrize("limit", [64, 0])
def test_duplicates_are_dropped_and_look_alikes_kept(
    planted: Make, curated: Curate, dense_above: Callable[[int], str], limit: int
) -> None:
    policy = dense_above(limit)
    run_truth(planted, curated, forms=12, bases=2, small=60, clips=4, policy=policy)


@pytest.mark.nightly
@pytest.mark.timeout(4 * 3600)
def test_duplicates_are_found_among_a_thousand_look_alikes(planted: Make, curated: Curate) -> None:
    run_truth(planted, curated, forms=330, bases=12, small=300, clips=24)


def _plant_contamination(corpus: Any, benchmark: Any, count: int) -> dict[str, str]:
    """Plant a benchmark's texts and pictures in a corpus; return key -> the benchmark's key."""
    rng, planted = random.Random(5), dict[str, str]()
    for number in range(count):
        question = " ".join(story(50_000 + number, 24)).capitalize() + "?"
        answer = " ".join(story(60_000 + number, 4))
        benchmark.add(f"b{number}", ("user", question), ("assistant", answer))
        around = [" ".join(story(70_000 + 2 * number + i, 60)) for i in range(2)]
        shown = question.replace(" ", "  ").rstrip("?") if number % 2 else question.upper()
        corpus.add(f"c{number}", ("assistant", f"{around[0]} {shown} {answer}. {around[1]}"))
        planted[f"c{number}"] = f"b{number}"
    for number in range(count):
        image = photo(10_000 + number)
        benchmark.ask(f"bi{number}", benchmark.file(f"{number}.png", encoded(image)), "What?", "X.")
        made = list(copies(image, rng, flips=True))
        how, data = made[number % len(made)]
        corpus.ask(f"ci{number}", corpus.file(f"{number}.{how}", data), f"Other {number}?", "Yes.")
        planted[f"ci{number}"] = f"bi{number}"
    return planted


def run_contamination(planted: Make, curated: Curate, *, count: int, good: int) -> None:
    corpus, benchmark = planted(), planted("bench", role="benchmark")
    truth = _plant_contamination(corpus, benchmark, count)
    for number in range(good):
        corpus.add(f"good{number}", ("assistant", " ".join(story(number, 150))))
        image = corpus.file(f"good{number}.png", encoded(photo(20_000 + number).resize((160, 120))))
        corpus.ask(f"seen{number}", image, QUESTION, ANSWER)
    source = benchmark.write()
    curated(source)
    found = curated(corpus.write(files=2))
    right = sum(
        k in found.dropped and found.dropped[k].kept_id.split("/")[-1].startswith(f"{b}-")
        for k, b in truth.items()
    )
    assert right >= 0.95 * len(truth)
    lost = [r["key"] for r in corpus.rows if r["key"] not in truth and r["key"] not in found.kept]
    assert len(lost) <= 0.005 * 2 * good, lost


@pytest.mark.parametrize("limit", [64, 0])
def test_a_benchmarks_picture_in_a_clip_and_its_clips_frame_as_a_picture_are_contamination(
    planted: Make, curated: Curate, dense_above: Callable[[int], str], limit: int
) -> None:
    corpus, benchmark = planted(), planted("bench", role="benchmark")
    ask = ("user", [0, "What is it?"]), ("assistant", "A pan.")
    pans = [footage(40_000 + i) for i in range(4)]
    benchmark.ask("picture", benchmark.file("p.png", encoded(pans[0][0])))
    benchmark.add("clip", *ask, videos=[benchmark.file("c.mp4", filmed(pans[1]))])
    corpus.add("shows", *ask, videos=[corpus.file("s.mp4", filmed(pans[0], crf="30"))])
    corpus.ask("frame", corpus.file("f.jpg", encoded(pans[1][-1], "JPEG", quality=70)))
    corpus.add("other-clip", *ask, videos=[corpus.file("o.mp4", filmed(pans[2]))])
    corpus.ask("other-picture", corpus.file("o.png", encoded(pans[3][0])))
    policy = dense_above(limit)
    curated(benchmark.write(), policy=policy)
    found = curated(corpus.write(), policy=policy)
    assert set(found.kept) == {"other-clip", "other-picture"}
    assert {d.reason for d in found.dropped.values()} == {"contaminated-media"}
    assert "bench/picture" in found.dropped["shows"].kept_id
    assert "bench/clip" in found.dropped["frame"].kept_id


def test_contamination_is_dropped_and_good_rows_kept(planted: Make, curated: Curate) -> None:
    run_contamination(planted, curated, count=12, good=40)


@pytest.mark.nightly
def test_much_contamination_is_dropped_and_good_rows_kept(planted: Make, curated: Curate) -> None:
    run_contamination(planted, curated, count=100, good=600)
