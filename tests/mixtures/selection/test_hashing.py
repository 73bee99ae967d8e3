import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from smolmix.mixtures.selection.hashing import hash_ids

MASK = (1 << 64) - 1


def mix(h: int) -> int:
    h = ((h ^ (h >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    h = ((h ^ (h >> 27)) * 0x94D049BB133111EB) & MASK
    return h ^ (h >> 31)


def reference(text: str, seed: int) -> int:
    """The hash as its docstring words it, one string at a time."""
    data = text.encode()
    h = mix((seed + len(data) * 0x9E3779B97F4A7C15) & MASK)
    for i in range(0, len(data), 8):
        word = int.from_bytes(data[i : i + 8], "little")
        h = mix(((h ^ word) + 0x9E3779B97F4A7C15) & MASK)
    return h


@given(st.lists(st.text(max_size=40), max_size=20), st.integers(0, (1 << 63) - 1))
def test_hashes_follow_the_written_definition(texts: list[str], seed: int) -> None:
    found = hash_ids(pa.array(texts, pa.string()), seed)
    assert found.tolist() == [reference(t, seed) for t in texts]


def test_a_slice_hashes_as_its_rows() -> None:
    ids = pa.array([f"corpus/{i}" for i in range(100)])
    assert hash_ids(ids.slice(37, 9), 1).tolist() == hash_ids(ids, 1)[37:46].tolist()


def test_the_hash_is_what_it_was() -> None:
    found = hash_ids(pa.array(["easy-vqa/train/0", "é", ""]), 7)
    golden = [2984299885297083789, 18148154820271661951, 1346066267577507604]
    assert found.tolist() == golden  # another value would move every selection
