"""The oddities of how corpora are published, each by its name, in their fixtures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from smolmix.media import MediaReader
from smolmix.pipelines.corpora import SOURCES
from smolmix.pipelines.sources.raw_units import raw_units, read_unit
from smolmix.sample import Sample
from smolmix.workspace import Workspace

Read = Callable[[str], list[Sample]]


@pytest.fixture
def read(publish: Callable[..., Any], install: Callable[..., Workspace], tmp_path: Path) -> Read:
    """Return a function that publishes a corpus, fetches it and returns its samples."""

    def samples(corpus: str) -> list[Sample]:
        source = SOURCES[corpus]
        publish(source, tmp_path / "hub")
        space = install(source, tmp_path / "hub", tmp_path / "ws")
        units = raw_units(source, space)
        return [s for u in units for a in read_unit(source, u, space) for s in a.samples]

    return samples


def test_the_image_placeholder_of_llava_video_stands_for_its_video(read: Read) -> None:
    found = [s for s in read("llava-video-178k") if s.media]
    assert found
    for sample in found:
        assert [m.kind for m in sample.media] == ["video"]
        assert sample.turns[0].parts[0].media == 0
        assert not any("<image>" in t.text for t in sample.turns)


def test_vista_names_its_video_under_image(read: Read) -> None:
    found = read("vista-400k")
    assert found
    assert {m.kind for s in found for m in s.media} == {"video"}
    assert {s.modality for s in found} == {"video"}


@pytest.mark.parametrize("corpus", ["the-cauldron", "docmatix", "finevision"])
def test_corpora_without_placeholders_show_their_images_before_the_question(
    corpus: str, read: Read
) -> None:
    found = [s for s in read(corpus) if s.media]
    assert found
    for sample in found:
        first = next(t for t in sample.turns if t.role == "user")
        assert [p.media for p in first.parts[: len(sample.media)]] == [*range(len(sample.media))]


def test_a_directory_of_numbered_frames_is_a_video_in_their_order(read: Read) -> None:
    clips = [m for s in read("llava-hound") for m in s.media if m.kind == "frames"]
    assert clips
    assert all(m.frames == len(m.refs) for m in clips)
    names = [str(r.member).rpartition("_")[2] for r in max(clips, key=lambda m: m.frames).refs]
    assert names == ["0001.jpeg", "0002.jpeg", "0010.jpeg"]


def test_null_dates_of_fineweb_edu_do_not_poison_its_schema(read: Read, tmp_path: Path) -> None:
    found = read("fineweb-edu")
    files = sorted((tmp_path / "hub" / "sample" / "10BT").glob("*.parquet"))
    types = {str(pq.read_schema(f).field("date").type) for f in files}
    assert types == {"null", "string"}
    assert len({s.source_file for s in found}) == len(files)


def test_free_form_metadata_of_dolma_is_no_matter(read: Read) -> None:
    texts = {s.turns[0].text for s in read("dolma-books")}
    assert "CHAPTER I.\n\nThe harbour lay quiet." in texts  # metadata: title and author
    assert "Another book under the same id." in texts  # metadata: pages, and a null deep inside
    assert "A book without an id." in texts  # no metadata


def test_text_in_another_encoding_is_decoded(read: Read) -> None:
    assert "Ein Café in alter Schrift." in {s.turns[0].text for s in read("dolma-books")}


def test_split_zip_archives_of_m4_are_joined(read: Read, tmp_path: Path) -> None:
    found = read("m4-instruct")
    assert (tmp_path / "hub" / "dreamsim_split.z01").exists()
    joined = [m for s in found for m in s.media if "_shards/dreamsim_split" in m.refs[0].uri]
    reader = MediaReader(Workspace(tmp_path / "ws"))
    assert len(joined) > 1
    assert all(reader.read(m.refs[0]).startswith(b"\x89PNG") for m in joined)


@pytest.mark.parametrize("corpus", ["mammoth-vl-12m", "vista-400k"])
def test_json_beside_archives_is_joined_with_their_members(corpus: str, read: Read) -> None:
    found = [s for s in read(corpus) if s.media]
    assert found
    assert all(s.source_file.endswith((".json", ".jsonl")) for s in found)
    assert any(r.member for s in found for m in s.media for r in m.refs)


def test_configs_that_point_at_a_missing_folder_are_found_where_they_lie(read: Read) -> None:
    found = [s for s in read("llava-video-178k") if s.subset == "0_30_s_activitynetqa"]
    assert found
    assert all("0_30_s_activitynetqa" in m.refs[0].uri for s in found for m in s.media)


def test_rows_of_video_star_find_their_clips_in_the_users_own_folder(read: Read) -> None:
    found = [m for s in read("video-star") for m in s.media]
    assert found
    assert all("/user/" in m.refs[0].uri for m in found)
