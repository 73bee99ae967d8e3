"""The peer of the speed benchmarks: transformers' Trainer, one sample a row, a padding collator."""

import tempfile
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from smolmix.model.eval.generate import batch_inputs

Row = tuple[Tensor, Tensor, Tensor]  # ids (tokens,), labels (tokens,), tiles (n, 3, edge, edge)


def trainer(
    model: Any, steps: Sequence[Sequence[Row]], **arguments: Any
) -> tuple[list[float], int]:
    """Train as many steps as `steps`; return when each ended, seconds, and rows a step.

    Args:
        model: the SmolVLM.
        steps: the documents of each step; batches are as long as the mean of them.
        arguments: of TrainingArguments, in addition to those that make both sides equal.
    """
    from transformers import Trainer, TrainerCallback, TrainingArguments

    rows = [row for step in steps for row in step]
    batch = max(1, len(rows) // len(steps))

    def collate(items: list[Row]) -> dict[str, Tensor]:
        out = batch_inputs([i[0].numpy() for i in items], [i[2] for i in items])
        out["labels"] = torch.full_like(out["input_ids"], -100)
        for row, item in enumerate(items):
            out["labels"][row, -len(item[1]) :] = item[1]
        return out

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=batch,
                max_steps=len(steps),
                save_strategy="no",
                report_to=[],
                remove_unused_columns=False,
                logging_strategy="no",
                disable_tqdm=True,
                dataloader_num_workers=0,
                optim="adamw_torch_fused",
                learning_rate=1e-4,
                train_sampling_strategy="sequential",
                **arguments,
            ),
            train_dataset=rows,
            data_collator=collate,
            callbacks=[Clock()],
        ).train()
    return times, batch
