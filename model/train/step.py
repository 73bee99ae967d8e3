"""The packed step: the loss of a packed sequence, with logits only where the loss mask is set.

Transformers' own modules do the work (vision tower, connector, decoder, head). They are combined so
that tiles go through the tower unpadded, documents do not attend to each other, and the 49,280
logits of a token are computed only if it is supervised, a chunk at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from smolmix.model.arch.presets import IMAGE_ID
from smolmix.model.arch.varlen_attention import Documents, use_document_attention

CHUNK = 2048  # supervised positions whose logits are in memory at once

# fp32 means fp32 on a GPU too: by default cuDNN takes TF32 for the patch embedding, which moves the
# tower's states by 3e-4 (H200). In bf16 the setting changes nothing.
torch.backends.cudnn.allow_tf32 = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """One packed sequence, ready for the model."""

    input_ids: Tensor  # (tokens,) int64
    position_ids: Tensor  # (tokens,) int64, from 0 in each document
    supervised: Tensor  # (n,) int64: positions whose next token is in the loss
    targets: Tensor  # (n,) int64: those next tokens
    owner: Tensor  # (n,) int64: the document that each target is in
    supervised_in: tuple[int, ...]  # supervised tokens of each document
    visual: Tensor  # (m,) int64: positions of visual tokens
    tiles: Tensor  # (tiles, 3, edge, edge) uint8
    tile_groups: Tensor | None  # (blocks,) int64: tiles averaged to each visual block; None: all 1
    documents: Documents

    @property
    def n_supervised(self) -> int:
        """Tokens in the loss."""
        return self.targets.shape[0]


def pack(
    sequence: Mapping[str, Any],
    device: torch.device | str = "cpu",
    *,
    separate_documents: bool = True,
) -> Packed:
    """Return a sequence in the form that the step takes.

    Args:
        sequence: as the loader yields it: `input_ids`, `labels` (-100 where not supervised, not
            shifted), `position_ids` (0 at each document's start), `tiles` and, where frames are
            averaged, `tile_groups`.
        device: where the model is.
        separate_documents: False: positions run on, and documents attend to those before them. The
            loss is over the same tokens either way.
    """
    ids, labels, positions = (
        torch.as_tensor(sequence[k]) for k in ("input_ids", "labels", "position_ids")
    )
    # Nothing comes before a document's first token to predict it from.
    targets_at = ((labels != -100) & (positions != 0)).nonzero().squeeze(1)
    starts = (positions == 0).nonzero().squeeze(1)
    lengths = torch.diff(starts, append=torch.tensor([len(ids)])).tolist()
    owner = torch.searchsorted(starts, targets_at, right=True) - 1
    if not separate_documents:
        positions = torch.arange(len(ids))
    return Packed(
        input_ids=ids.to(device, non_blocking=True),
        position_ids=positions.to(device, non_blocking=True),
        supervised=(targets_at - 1).to(device, non_blocking=True),
        targets=labels[targets_at].to(device, non_blocking=True),
        owner=owner.to(device, non_blocking=True),
        supervised_in=tuple(torch.bincount(owner, minlength=len(lengths)).tolist()),
        visual=(ids == IMAGE_ID).nonzero().squeeze(1).to(device, non_blocking=True),
        tiles=torch.as_tensor(sequence["tiles"]).to(device, non_blocking=True),
        tile_groups=averaging(sequence.get("tile_groups", ()), device),
        documents=Documents.of_lengths(lengths, device, separate=separate_documents),
    )


def averaging(groups: Tensor | Sequence[int], device: torch.device | str = "cpu") -> Tensor | None:
    """Return how many tiles each visual block averages, or None where every block is one tile."""
    sizes = torch.as_tensor(groups, dtype=torch.long)
    return sizes.to(device) if bool((sizes > 1).any()) else None


def pixels(tiles: Tensor, dtype: torch.dtype) -> Tensor:
    """Return uint8 tiles as the tower's input, from -1 to 1.

    Source: SmolVLM's image processor, ×1/255 then mean = std = 0.5.
    """
    return (tiles.to(dtype) * (1 / 255) - 0.5) / 0.5


def tower_states(tower: Any, tiles: Tensor) -> Tensor:
    """Return a vision tower's last hidden states, (tiles, patches, hidden).

    All patches of a tile are attended to, numbered in order, so transformers' masks and fractional
    positions are not needed; on a GPU they make the host wait.
    """
    table = tower.embeddings
    patches = table.patch_embedding(pixels(tiles, table.patch_embedding.weight.dtype))
    embedded = patches.flatten(2).transpose(1, 2) + table.position_embedding.weight
    states: Tensor = tower.post_layernorm(tower.encoder(inputs_embeds=embedded).last_hidden_state)
    return states


def visual_tokens(
    model: Any, tiles: Tensor, groups: Tensor | None = None, *, chunk: int = 0
) -> Tensor:
    """Return the embeddings of the visual tokens, (blocks · tokens per tile, hidden).

    Args:
        model: the SmolVLM.
        tiles: (tiles, 3, edge, edge) uint8.
        groups: (blocks,) int64, consecutive tiles whose embeddings are averaged to one block;
            None: every tile is a block.
        chunk: tiles in the tower at once; 0 for all.
    """
    parts = torch.split(tiles, chunk) if chunk else (tiles,)
    done = [model.model.connector(tower_states(model.model.vision_model, part)) for part in parts]
    tokens = torch.cat(done) if len(done) > 1 else done[0]  # (tiles, tokens per tile, hidden)
    if groups is not None:
        owner = torch.repeat_interleave(torch.arange(len(groups), device=groups.device), groups)
        sums = tokens.new_zeros(len(groups), *tokens.shape[1:]).index_add(0, owner, tokens)
        tokens = sums / groups[:, None, None].to(tokens.dtype)
    return tokens.flatten(0, 1)


def embeddings(
    model: Any,
    ids: Tensor,
    visual: Tensor,
    tiles: Tensor,
    groups: Tensor | None = None,
    *,
    chunk: int = 0,
    always_run_tower: bool = False,
) -> Tensor:
    """Return the decoder's input: the tokens' embeddings, with those of visual tokens in place.

    Args:
        model: the SmolVLM.
        ids: (rows, tokens) int64.
        visual: (n,) int64, positions of visual tokens in the concatenated rows.
        tiles: (tiles, 3, edge, edge) uint8 of all rows, in order.
        groups: as for `visual_tokens`.
        chunk: tiles in the tower at once; 0 for all.
        always_run_tower: run the vision tower even without tiles, with no effect on the result.

    Returns:
        (rows, tokens, hidden).
    """
    embedded: Tensor = model.model.text_model.embed_tokens(ids)
    if not tiles.shape[0]:
        if not always_run_tower:
            return embedded
        blank = tiles.new_zeros(1, *tiles.shape[1:])
        return embedded + 0 * visual_tokens(model, blank).sum().to(embedded.dtype)
    shown = visual_tokens(model, tiles, groups, chunk=chunk).to(embedded.dtype)
    assert visual.shape[0] == shown.shape[0], "image tokens and tiles do not match"
    return embedded.flatten(0, 1).index_copy(0, visual, shown).view_as(embedded)


def hidden_states(
    model: Any, packed: Packed, *, tile_chunk: int = 0, always_run_tower: bool = False
) -> Tensor:
    """Return the decoder's last hidden states, (tokens, hidden)."""
    embedded = embeddings(
        model, packed.input_ids[None], packed.visual, packed.tiles, packed.tile_groups,
        chunk=tile_chunk, always_run_tower=always_run_tower,
    )  # fmt: skip
    states: Tensor = model.model.text_model(
        inputs_embeds=embedded,
        position_ids=packed.position_ids[None],
        use_cache=False,
        documents=packed.documents,
    ).last_hidden_state
    return states[0]


def _chunk_losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    logits = functional.linear(hidden, head).float()
    return functional.cross_entropy(logits, targets, reduction="none")


def token_losses(model: Any, hidden: Tensor, packed: Packed, *, chunk: int = CHUNK) -> Tensor:
    """Return the loss of each supervised token, (n,) fp32.

    Args:
        model: the SmolVLM.
        hidden: (tokens, hidden), the decoder's last states.
        packed: the sequence.
        chunk: positions whose logits are computed at a time.
    """
    predicting = hidden[packed.supervised]
    head = model.lm_head.weight
    if predicting.shape[0] <= chunk:
        return _chunk_losses(predicting, head, packed.targets)
    losses = [
        checkpoint(_chunk_losses, h, head, t, use_reentrant=False)
        for h, t in zip(
            torch.split(predicting, chunk), torch.split(packed.targets, chunk), strict=True
        )
    ]
    return torch.cat(losses)


def layers(model: Any) -> list[torch.nn.Module]:
    """Return a SmolVLM's vision layers and decoder layers, in the order they run."""
    return [*model.model.vision_model.encoder.layers, *model.model.text_model.layers]


def compile_layers(model: Any, backend: str = "inductor") -> None:
    """Compile each layer in place, for any number of tiles and tokens; weights keep their names.

    Layers of a kind share one compilation. There are three: the first decoder layer has one
    of its own.
    """
    for layer in layers(model):
        layer.compile(dynamic=True, backend=backend)


class PackedModel(torch.nn.Module):
    """A SmolVLM whose forward is the packed step, so that DDP and FSDP can wrap it."""

    def __init__(self, model: Any, *, chunk: int = CHUNK, tile_chunk: int = 0):
        """Wrap a SmolVLM; from now on its language model attends within documents.

        Args:
            model: the SmolVLM.
            chunk: supervised positions whose logits are computed at a time.
            tile_chunk: tiles in the vision tower at once; 0 for all.
        """
        super().__init__()
        self.model = model
        self.chunk = chunk
        self.tile_chunk = tile_chunk
        self.always_run_tower = False  # True where all ranks must run the same layers
        use_document_attention(model)

    def forward(self, packed: Packed) -> Tensor:
        """Return the loss of each supervised token of the sequence, (n,)."""
        hidden = hidden_states(
            self.model, packed, tile_chunk=self.tile_chunk, always_run_tower=self.always_run_tower
        )
        return token_losses(self.model, hidden, packed, chunk=self.chunk)
