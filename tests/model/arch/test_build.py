from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    LlamaConfig,
    LlamaForCausalLM,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from smolmix.errors import UsageError
from smolmix.model.arch import presets
from smolmix.model.arch.build import GGUF, build, extended, gguf_folder
from smolmix.model.arch.checkpoint import save
from smolmix.model.arch.presets import LANGUAGE_MODELS, VISION_TOWERS
from smolmix.model.arch.spec import ModelSpec
from smolmix.model.arch.varlen_attention import plain_attention
from smolmix.profiles import profile
from smolmix.tokenize.chat import special, tokenizer


def test_the_same_seed_gives_the_same_weights() -> None:
    a, b = (build(ModelSpec(preset="tiny"), seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(a[n], b[n]) for n in a)


def test_towers_with_weights_keep_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = presets.PRESETS["tiny"]
    monkeypatch.setitem(VISION_TOWERS, "v", tiny.vision)
    monkeypatch.setitem(LANGUAGE_MODELS, "l", tiny.lm)
    vision: Any = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            image_size=32, patch_size=8,
        )
    )  # fmt: skip
    lm: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=special.BASE_VOCABULARY, hidden_size=16, intermediate_size=32,
            num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            rms_norm_eps=1e-5, tie_word_embeddings=True,
        )
    )  # fmt: skip
    vision.save_pretrained(tmp_path / "v")
    lm.save_pretrained(tmp_path / "l")
    spec = ModelSpec(
        vision="v", vision_weights=str(tmp_path / "v"), lm="l", lm_weights=str(tmp_path / "l"),
        shuffle=2,
    )  # fmt: skip
    model: Any = build(spec)
    ids = torch.randint(3, 1000, (1, 20))
    with torch.no_grad(), plain_attention(model):
        logits = model.eval()(input_ids=ids).logits
        assert torch.allclose(
            logits[..., : special.BASE_VOCABULARY], lm.eval()(input_ids=ids).logits, atol=1e-5
        )
        tiles = torch.randn(2, 3, 32, 32)
        assert torch.allclose(
            model.model.vision_model(pixel_values=tiles).last_hidden_state,
            vision.eval()(pixel_values=tiles).last_hidden_state,
            atol=1e-5,
        )


def test_weights_of_another_tower_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LANGUAGE_MODELS, "l", presets.PRESETS["tiny"].lm)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=special.BASE_VOCABULARY, hidden_size=8, intermediate_size=32,
            num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        )
    ).save_pretrained(tmp_path)  # fmt: skip
    spec = ModelSpec(vision="siglip-nano", lm="l", lm_weights=str(tmp_path), shuffle=2)
    with pytest.raises(UsageError, match="name the tower that these weights belong to"):
        build(spec)


def test_an_added_token_begins_as_the_mean_of_what_spells_it() -> None:
    base = torch.randn(special.BASE_VOCABULARY, 8, generator=torch.Generator().manual_seed(1))
    grown = extended(base)
    assert grown.shape == (special.VOCABULARY, 8)
    assert torch.equal(grown[: special.BASE_VOCABULARY], base)
    spelled = base[tokenizer.load().encode("<row_1_col_1>")].mean(0)
    assert (grown[special.SPECIAL["<row_1_col_1>"]] - spelled).abs().max() < 0.1
    rows = grown[special.BASE_VOCABULARY :]
    assert len({tuple(r.tolist()) for r in rows}) == len(rows) == 128


def test_checkpoint_is_built_from_again_with_the_same_logits(tmp_path: Path) -> None:
    first = build(ModelSpec(preset="tiny"))
    save(tmp_path / "c", first, {"digest": ""}, None, profile("nano"))
    ours = build(ModelSpec(checkpoint=str(tmp_path / "c")))
    theirs: Any = AutoModelForImageTextToText.from_pretrained(tmp_path / "c")
    ids = torch.randint(3, 1000, (1, 9))
    with torch.no_grad():
        assert torch.equal(ours(input_ids=ids).logits, first(input_ids=ids).logits)
        assert torch.equal(theirs(input_ids=ids).logits, first(input_ids=ids).logits)


def test_a_folder_that_is_not_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a SmolVLM that can be opened"):
        build(ModelSpec(checkpoint=str(tmp_path)))


@pytest.mark.nightly
def test_the_gguf_language_model_speaks_inside_the_256m_preset() -> None:
    model: Any = build(ModelSpec(preset="256m", lm_weights=GGUF)).eval()
    opener: Any = AutoModelForCausalLM
    lm = opener.from_pretrained(
        gguf_folder(), gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", dtype=torch.float32
    ).eval()
    vocabulary = tokenizer.load()
    ids = torch.tensor([vocabulary.encode("The capital of France is")])
    with torch.no_grad(), plain_attention(model):
        ours, theirs = model(input_ids=ids).logits, lm(input_ids=ids).logits
    assert torch.allclose(ours[..., : special.BASE_VOCABULARY], theirs, atol=1e-3)
    assert vocabulary.decode([int(ours[0, -1].argmax())]).strip() == "Paris"
