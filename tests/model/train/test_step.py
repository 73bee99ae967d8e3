from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.support.sequences import Document, documents_of_every_modality, packed
from torch.nn import functional
from transformers import AutoModelForImageTextToText, SmolVLMForConditionalGeneration
from transformers.models.smolvlm.modeling_smolvlm import SmolVLMVisionEmbeddings

from smolmix.model.arch.build import config
from smolmix.model.arch.checkpoint import save
from smolmix.model.arch.presets import LM_NANO, PRESETS, ModelPreset
from smolmix.model.arch.varlen_attention import plain_attention
from smolmix.model.train.optimizer import freeze
from smolmix.model.train.recipe import Rates
from smolmix.model.train.step import (
    PackedModel,
    compile_layers,
    hidden_states,
    layers,
    pack,
    pixels,
    token_losses,
    visual_tokens,
)
from smolmix.profiles import profile


def tower(sizes: ModelPreset) -> Any:
    model: Any = SmolVLMForConditionalGeneration(config(sizes))
    return model.eval()


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return tower(PRESETS["nano"])


def theirs(model: Any, document: Document) -> torch.Tensor:
    """Transformers' own forward on one document, batch of one, its default arguments."""
    tiles = torch.from_numpy(document["tiles"])
    images = pixels(tiles, torch.float32)[None] if len(tiles) else None
    with torch.no_grad(), plain_attention(model):
        out = model(input_ids=torch.from_numpy(document["ids"])[None], pixel_values=images)
    logits: torch.Tensor = out.logits[0]
    return logits


def ours(model: Any, documents: list[Document]) -> torch.Tensor:
    PackedModel(model)
    with torch.no_grad():
        logits: torch.Tensor = model.lm_head(hidden_states(model, pack(packed(documents))))
    return logits


def test_logits_equal_transformers_for_each_modality_alone(
    model: Any, documents: list[Document]
) -> None:
    checked = set()
    for document in documents:
        torch.testing.assert_close(
            ours(model, [document]), theirs(model, document), atol=1e-5, rtol=1e-5
        )
        checked.add(document["modality"])
    assert checked == {"image", "multi-image", "video", "text"}


def test_packed_documents_have_the_logits_they_have_alone(
    model: Any, documents: list[Document]
) -> None:
    together = ours(model, documents)
    alone = torch.cat([theirs(model, d) for d in documents])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_a_saved_checkpoint_has_the_same_logits_in_transformers_packed_or_not(
    documents: list[Document], tmp_path: Path
) -> None:
    model = tower(PRESETS["tiny"])
    save(tmp_path / "c", model, {"digest": ""}, None, profile("nano"))
    opened: Any = AutoModelForImageTextToText.from_pretrained(tmp_path / "c")
    opened.eval()
    together, checked = ours(model, documents), set()
    alone = torch.split(together, [len(d["ids"]) for d in documents])
    for document, logits in zip(documents, alone, strict=True):
        torch.testing.assert_close(theirs(opened, document), logits, atol=1e-5, rtol=1e-5)
        checked.add(document["modality"])
    assert checked == {"image", "multi-image", "video", "text"}
    assert torch.equal(ours(opened, documents), together)


def test_loss_equals_transformers_loss_token_for_token(
    model: Any, documents: list[Document]
) -> None:
    expected = []
    for d in documents:
        logits, labels = theirs(model, d)[:-1], torch.from_numpy(d["labels"][1:])
        expected.append(functional.cross_entropy(logits, labels, reduction="none")[labels != -100])
    with torch.no_grad():
        found = PackedModel(model)(pack(packed(documents)))
    torch.testing.assert_close(found, torch.cat(expected), atol=1e-5, rtol=1e-5)
    assert len(found) == sum(int((d["labels"] != -100).sum()) for d in documents)


def test_chunked_logits_give_the_same_losses_and_gradients(
    model: Any, documents: list[Document]
) -> None:
    one = pack(packed(documents))
    results = []
    for chunk in (2048, 7):
        model.zero_grad()
        losses = PackedModel(model, chunk=chunk)(one)
        losses.sum().backward()
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        results.append((losses.detach(), grads))
    torch.testing.assert_close(results[0][0], results[1][0], atol=1e-6, rtol=1e-6)
    assert len(results[0][1]) == len(list(model.parameters()))
    for a, b in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_tiles_in_chunks_give_the_same_states(model: Any, documents: list[Document]) -> None:
    one = pack(packed(documents))
    with torch.no_grad():
        whole, parts = hidden_states(model, one), hidden_states(model, one, tile_chunk=4)
    torch.testing.assert_close(whole, parts, atol=1e-5, rtol=1e-5)


def test_the_first_token_of_a_document_is_never_a_target(documents: list[Document]) -> None:
    for d in documents:
        d["labels"] = d["ids"].copy()  # everything supervised, as in plain text
    one = pack(packed(documents))
    assert one.n_supervised == sum(len(d["ids"]) - 1 for d in documents)
    starts = np.cumsum([0, *(len(d["ids"]) for d in documents)])
    assert not set((one.supervised + 1).tolist()) & set(starts.tolist())


def test_default_cache_of_transformers_leaks_between_documents(
    model: Any, documents: list[Document]
) -> None:
    """Why the step never uses it: restarted positions alone do not separate documents."""
    texts = [documents[1], documents[1]]
    sequence = packed(texts)
    with torch.no_grad(), plain_attention(model):
        leaky = model(
            input_ids=torch.from_numpy(sequence["input_ids"])[None],
            position_ids=torch.from_numpy(sequence["position_ids"])[None],
            use_cache=True,
        ).logits[0]
    assert (leaky - ours(model, texts)).abs().max() > 1e-3


def test_a_sequence_without_supervised_tokens_has_no_loss(
    model: Any, documents: list[Document]
) -> None:
    documents[0]["labels"][:] = -100
    losses = PackedModel(model)(pack(packed(documents[:1])))
    losses.sum().backward()
    assert losses.shape == (0,)


def test_position_ids_of_patches_are_the_identity() -> None:
    """The trap of transformers 4.57: in fp32 the last row and column were never used."""
    torch.manual_seed(0)
    for name in ("nano", "256m"):
        sizes = PRESETS[name].vision
        side = sizes.image_px // sizes.patch_px
        small: Any = config(PRESETS[name]).vision_config
        small.hidden_size = 2
        embeddings: Any = SmolVLMVisionEmbeddings(small)
        with torch.no_grad():
            embeddings.patch_embedding.weight.zero_()
            embeddings.patch_embedding.bias.zero_()
            embeddings.position_embedding.weight.copy_(
                torch.arange(side * side)[:, None].expand(-1, 2).float()
            )
            out = embeddings(
                torch.zeros(1, 3, sizes.image_px, sizes.image_px),
                torch.ones(1, side, side, dtype=torch.bool),
            )
        assert out[0, :, 0].tolist() == list(range(side * side))


def test_token_losses_of_grouped_heads_match_a_dense_mask(documents: list[Document]) -> None:
    """Grouped key-value heads, as in the released small sizes, against a block-diagonal mask."""

    torch.manual_seed(1)
    sizes = replace(PRESETS["nano"], lm=replace(LM_NANO, hidden=96, heads=6, kv_heads=2))
    model = tower(sizes)
    one = pack(packed(documents))
    PackedModel(model)
    with torch.no_grad():
        found = token_losses(model, hidden_states(model, one), one)
        owner = torch.repeat_interleave(
            torch.arange(len(documents)), torch.diff(one.documents.spans)
        )
        dense = (owner[:, None] == owner[None]).tril()[None, None]
        embedded = model.model.text_model.embed_tokens(one.input_ids[None])
        places = (one.input_ids == model.config.image_token_id)[None, :, None]
        embedded = embedded.masked_scatter(places, visual_tokens(model, one.tiles))
        with plain_attention(model, "eager"):
            additive = torch.where(dense, 0.0, torch.finfo(torch.float32).min)
            hidden = model.model.text_model(
                inputs_embeds=embedded, position_ids=one.position_ids[None],
                attention_mask=additive, use_cache=False,
            ).last_hidden_state[0]  # fmt: skip
    torch.testing.assert_close(found, token_losses(model, hidden, one), atol=1e-5, rtol=1e-5)


def test_gradient_checkpointing_changes_no_gradient(documents: list[Document]) -> None:
    results = []
    for on in (False, True):
        torch.manual_seed(0)
        model = tower(PRESETS["tiny"]).train()
        if on:
            model.activation_checkpointing_enable({"use_reentrant": False})
        PackedModel(model)(pack(packed(documents))).sum().backward()
        results.append([p.grad for p in model.parameters()])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def test_a_frozen_vision_tower_keeps_nothing_for_a_backward(documents: list[Document]) -> None:
    model = tower(PRESETS["tiny"])
    freeze(model, Rates(vision=0, connector=1, lm=1))
    one = pack(packed(documents))
    assert not model.model.vision_model(
        pixel_values=pixels(one.tiles, torch.float32)
    ).last_hidden_state.requires_grad
    PackedModel(model)(one).sum().backward()
    assert all(p.grad is None for p in model.model.vision_model.parameters())
    assert all(p.grad is not None for p in model.model.connector.parameters())


def test_compiled_layers_give_the_same_losses_whatever_the_number_of_tiles() -> None:
    """Traced as for a GPU, run by the plain backend: compiling for a CPU takes a minute."""
    model = tower(PRESETS["tiny"])
    step = PackedModel(model)
    drawn = [pack(packed(documents_of_every_modality(n))) for n in (1, 2)]
    with torch.no_grad():
        wanted = [step(one) for one in drawn]
        compile_layers(model, backend="eager")
        found = [step(one) for one in drawn]
    assert all(layer._compiled_call_impl is not None for layer in layers(model))
    assert list(model.state_dict()) == list(tower(PRESETS["tiny"]).state_dict())
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
