"""SmolVLM's special tokens have the ids of the released checkpoints."""

from smolmix.tokenize.chat import special
from smolmix.tokenize.chat.tokenizer import Vocabulary


def test_special_tokens_have_the_released_ids(vocabulary: Vocabulary) -> None:
    anchors = {
        "<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "<global-img>": 49152,
        "<row_1_col_1>": 49153, "<row_6_col_6>": 49188, "<fake_token_around_image>": 49189,
        "<image>": 49190, "<end_of_utterance>": 49279,
    }  # fmt: skip
    assert len(vocabulary) == 49_280
    assert len(special.ADDED) == 128
    for token, number in anchors.items():
        assert vocabulary.full.token_to_id(token) == number


def test_added_tokens_follow_the_base_vocabulary_without_gaps() -> None:
    assert list(special.ADDED.values()) == list(range(special.BASE_VOCABULARY, special.VOCABULARY))
    assert list(special.BASE_SPECIAL.values()) == [0, 1, 2]
    assert special.SPECIAL["<image>"] == special.IMAGE_ID


def test_positions_are_named_by_row_and_column_up_to_the_largest_grid() -> None:
    edge = range(1, special.MAX_GRID + 1)
    names = [special.position(row, col) for row in edge for col in edge]
    assert names[0] == "<row_1_col_1>"
    assert names[-1] == "<row_6_col_6>"
    assert all(name in special.ADDED for name in names)
    assert len(set(names)) == 36
    assert special.position(7, 1) not in special.SPECIAL
