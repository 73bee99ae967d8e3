"""Texts of scripts without spaces are compared by characters; texts with spaces as ever."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from tests.support.measured import measured
from tests.support.scripts import ALPHABETS, near_copy, punctuated, written

from smolmix.pipelines.curate.dedup.text import minhash, shingles
from smolmix.pipelines.curate.measure.texts import language, spaced, text_hash, unified, words
from smolmix.pipelines.curate.rules import RULES
from smolmix.pipelines.curate.settings import TextDedup
from smolmix.sample import turns_of

Make = Callable[..., Any]

PROSE = {
    "chinese": (
        "港口那天早晨很安静，渔船还没有出海。一位叼着烟斗的老人坐在墙上，给孩子们讲他年轻时遇到的那场"
        "大风暴。孩子们睁大眼睛听着，因为村里再也没有别人记得那件事了。老人讲完以后，最小的孩子问，大海"
        "以后还会不会那样发怒。老人望着水面看了一会儿，然后说会的，但不会是在今天这样的日子。傍晚的时候，"
        "渔船一只接一只地回来了，人们在码头上分鱼、修网、说笑。"
    ),
    "japanese": (
        "港はその朝とても静かで、漁船はまだ海に出ていなかった。パイプをくわえた老人が壁に腰かけ、若いころ"
        "に見た大嵐の話を子どもたちに聞かせていた。ほかに覚えている人はいなかったので、子どもたちは目を丸く"
        "して聞き入った。話が終わると、いちばん小さな子が、海はまたあんなに怒るのかとたずねた。老人は水面を"
        "ながめてから、怒るだろうが、今日のような日ではないと答えた。夕方になると船が帰ってきた。"
    ),
    "thai": (
        "เช้าวันนั้นท่าเรือเงียบสงบ เรือประมงยังไม่ได้ออกทะเล ชายชราคนหนึ่งนั่งอยู่บนกำแพงและเล่าเรื่องพายุใหญ่"
        "ในวัยหนุ่มให้เด็กๆฟัง เด็กๆฟังด้วยดวงตาเบิกกว้างเพราะไม่มีใครในหมู่บ้านจำเรื่องนั้นได้อีกแล้ว เมื่อเขาเล่าจบ "
        "เด็กคนเล็กที่สุดถามว่าทะเลจะโกรธแบบนั้นอีกหรือไม่ เขามองดูน้ำอยู่ครู่หนึ่งแล้วตอบว่าคงจะโกรธอีก"
    ),
    "korean": (
        "그날 아침 항구는 조용했고 고깃배들은 아직 바다로 나가지 않았다. 파이프를 "
        "문 노인이 담장에 앉아 젊은 시절에 겪은 큰 폭풍 이야기를 들려주었다. 그 "
        "일을 기억하는 사람은 아무도 없었기 때문에 아이들은 눈을 크게 뜨고 들었다."
        " 이야기가 끝나자 가장 어린 아이가 바다가 다시 그렇게 화를 낼지 물었다. "
        "노인은 물을 바라보다가 그럴 것이라고 말했다. 저녁이 되자 배들이 하나씩 돌"
        "아왔다."
    ),
}
SPACED = (
    "The quick brown fox's 3.5 “jumps” over 12 lazy dogs — isn't it? x=-3.5 and 5! \\Delta 4² 1½",
    "Быстрая коричневая лиса прыгает через 7 ленивых собак.",
    "الثعلب البني السريع يقفز فوق ٣ كلاب كسولة",
    "तेज भूरी लोमड़ी ३ आलसी कुत्तों के ऊपर कूदती है।",
    "Η γρήγορη αλεπού 🦊 πηδάει… caf\u00e9 cafe\u0301 naïve ﬁve 。 hello、world",
    "Con cáo nâu nhảy qua con chó lười; שועל חום מהיר קופץ",
)


def rule(name: str, **thresholds: Any) -> Any:
    return RULES[name](**thresholds)


def test_hashes_of_texts_with_spaces_never_change() -> None:
    hashes = np.concatenate([shingles.words(text) for text in SPACED])
    assert len(hashes) == 68
    assert xxhash.xxh3_64_hexdigest(hashes.tobytes()) == "1f7cb70874a8b79a"
    turns = turns_of(*[("user", text) for text in SPACED])
    assert text_hash(turns) == "d022000e947f7b14ae999b28d499cd63"


@given(st.text(st.characters(max_codepoint=0xDFF, exclude_categories=["Cs"]), max_size=60))
def test_a_text_of_other_scripts_is_only_unified(text: str) -> None:
    assert spaced(text) == unified(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("使用Python3编程，第3章。「你好」！x=1时", "使 用 Python3 编 程 第 3 章 你 好 x=1 时"),
        ("猫がいる・カー", "猫 が い る カ ー"),
        ("ｶﾞ カ\u3099", "ガ ガ"),  # composed otherwise
        ("มี3ตัว ๑๒", "มี 3 ตั ว ๑๒"),  # a mark stays with its letter, a number stays whole
        ("고양이 3마리", "고 양 이 3 마 리"),
        ("3.5米，选B,C项", "3.5 米 选 B,C 项"),
    ],
)
def test_a_word_is_a_character_a_number_or_a_run_of_another_script(text: str, found: str) -> None:
    assert words(text) == found.split()
    assert len(shingles.words(text)) == len(found.split())


@pytest.mark.parametrize("script", ALPHABETS)
def test_signatures_estimate_the_jaccard_similarity_of_runs_of_characters(script: str) -> None:
    rng, settings = random.Random(2), TextDedup(bands=64, rows=8)
    one = written(script, 400, rng)
    other = near_copy(one, script, rng)
    a, b = ({tuple(t[i : i + 5]) for i in range(len(t) - 4)} for t in (one, other))
    texts = [punctuated(t, script, rng) for t in (one, other)]
    first, second = minhash.signatures(shingles.Words.of(texts), settings)
    assert float((first == second).mean()) == pytest.approx(len(a & b) / len(a | b), abs=0.07)


def test_two_characters_count_as_one_word() -> None:
    assert shingles.length(shingles.words("请看这张图片")) == 3
    assert shingles.length(shingles.words("look at this image")) == 4
    assert shingles.length(shingles.words("请看image 3")) == 3


def _plant(corpus: Any, script: str, rng: random.Random) -> list[str]:
    """Plant pairs of near copies, texts of other numbers, and contaminated answers."""
    benchmark = []

    def add(key: str, characters: list[str], question: str) -> None:
        corpus.add(key, ("user", question), ("assistant", punctuated(characters, script, rng)))

    for n in range(3):
        question = "".join(written(script, 20, rng))
        text = written(script, 300, rng, mixed=True)
        add(f"{script}.near{n}a", text, question)
        add(f"{script}.near{n}b", near_copy(text, script, rng), question)
        for number in "12":  # tasks of one template
            add(f"{script}.number{n}{number}", [*text[::-1], number], "?")
        exam = written(script, 60, rng)
        benchmark.append(punctuated(exam, script, rng))
        around = [written(script, 120, rng, mixed=True) for _ in range(2)]
        add(f"{script}.exam{n}", [*around[0], *exam, *around[1]], question[::-1])
        add(f"{script}.third{n}", [*around[1][::-1], *exam[:20], *around[0]], question[::-1])
    return benchmark


def test_near_copies_and_benchmarks_are_found_in_every_script(
    planted: Make, curated: Make, tmp_path: Path
) -> None:
    corpus, rng, lines = planted(), random.Random(5), list[str]()
    for script in ALPHABETS:
        lines += _plant(corpus, script, rng)
    exams = tmp_path / "exams.txt"
    exams.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = curated(corpus.write(), contamination_set=[str(exams)])
    reasons = {key: one.reason for key, one in found.dropped.items()}
    for script in ALPHABETS:
        for n in range(3):
            pair = [reasons.pop(f"{script}.near{n}{side}", "") for side in "ab"]
            assert sorted(pair) == ["", "duplicate-near-text"], (script, n)
            assert reasons.pop(f"{script}.exam{n}", "") == "contaminated-text", (script, n)
    assert reasons == {}  # other numbers, and a third of a benchmark's text, are kept


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
@pytest.mark.parametrize(
    "name", ["gopher-repetition", "gopher-quality", "c4-quality", "fineweb-quality"]
)
def test_quality_rules_pass_prose_without_spaces(name: str, text: str) -> None:
    assert rule(name).problem(measured(("assistant", text))) is None
    mixed = text.replace(text[3:5], "GPU 3", 1)
    assert rule(name).problem(measured(("assistant", mixed))) is None


@pytest.mark.parametrize("text", PROSE.values(), ids=PROSE)
def test_quality_rules_count_words_and_repetition_by_characters(text: str) -> None:
    def problem(name: str, said: str) -> Any:
        return rule(name).problem(measured(("assistant", said)))

    assert problem("gopher-quality", text[:40]) == "gopher_short_doc"
    assert problem("gopher-repetition", text[:9] * 40).startswith("top_")
    assert problem("gopher-repetition", (text[:60] + text[90:140]) * 3).startswith("duplicated_")
    assert problem("c4-quality", text[:12]) == "too_few_sentences"


def test_an_echo_is_found_in_a_script_without_spaces() -> None:
    def problem(question: str, answer: str) -> Any:
        return rule("prompt-echoed", min_words=4).problem(
            measured(("user", question), ("assistant", answer))
        )

    assert problem("这张图片里有什么东西？", "这张图片里有什么东西。") is not None
    assert problem("你好你好", "你好你好") is None  # two words
    assert problem("这张图片里有什么东西？", "这张图片里有什么动物。") is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("请用Python写一个函数，计算2024年的第3个质数，并使用print输出结果。", "zh"),
        ("图片里有5只cat，3只dog，还有1辆BMW X5。", "zh"),
        ("東京タワーの高さは333mです。Pythonでprint()を使います。", "ja"),
        ("이 사진에는 고양이 3마리가 있습니다.", "ko"),
        ("ใช้Python3เขียนโปรแกรมprint('hello')แล้วรันmain.py", "th"),
        ("The word 猫 means cat in Chinese, and 犬 means dog in Japanese.", "en"),
        ("猫在桌子上", ""),  # neither Chinese nor Japanese for sure
        ("你好吗", ""),
    ],
)
def test_the_language_of_mixed_texts_is_that_of_most_characters(text: str, code: str) -> None:
    assert language(text) == code
