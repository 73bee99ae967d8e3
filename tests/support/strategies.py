"""Hypothesis strategies for records."""

from hypothesis import strategies as st

from smolmix.sample import Media, MediaRef, Sample, turns_of

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    media = tuple(
        Media(
            kind=draw(st.sampled_from(["image", "video", "frames"])),
            refs=(MediaRef(uri=draw(text), row=draw(st.none() | st.integers(0, 99))),),
            digest=draw(text),
            width=draw(st.integers(1, 9000)),
            duration_s=draw(st.floats(0, 1e5)),
        )
        for _ in range(draw(st.integers(0, 3)))
    )
    question: list[str | int] = [*range(len(media)), draw(text)]
    return Sample(
        id=draw(text),
        corpus=draw(text),
        modality=draw(st.sampled_from(["text", "image", "multi-image", "video"])),
        category=draw(text),
        turns=turns_of(("user", question), ("assistant", draw(text))),
        media=media,
        licence=draw(text),
        source_file=draw(text),
        source_row=draw(st.integers(0, 2**40)),
        tags=tuple(sorted(draw(st.dictionaries(text, text, max_size=3)).items())),
        errors=tuple(draw(st.lists(text, max_size=2))),
    )
