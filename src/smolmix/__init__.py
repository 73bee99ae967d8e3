"""Rebuild SmolVLM's training data, and train a compact vision-language model on it.

    import smolmix

    smolmix.fetch_corpus("easy-vqa", "workspace")
    smolmix.curate_corpus("easy-vqa", "workspace")
    plan = smolmix.plan_mixture("mixtures/demo.yaml", "workspace")

`import smolmix` loads neither PyTorch, Ray, polars nor pyarrow: each name is imported when it is
first used. `examples/` has scripts for whole tasks.
"""

import importlib
from typing import TYPE_CHECKING, Any

from smolmix.version import __version__ as __version__

if TYPE_CHECKING:
    from smolmix.api import (
        build_mixture,
        curate_corpus,
        fetch_corpus,
        generate,
        load_checkpoint,
        plan_mixture,
        read_catalogue,
        read_samples,
        read_spec,
        register_corpus,
        tokenize_mixture,
        train_model,
    )
    from smolmix.engine.stage import RunOptions
    from smolmix.errors import SmolmixError
    from smolmix.sample import Media, Part, Sample, Turn
    from smolmix.tokenize.collate import collate
    from smolmix.tokenize.loader import Loader, SequenceDataset
    from smolmix.workspace import Workspace

# In the order of the pipeline, which is the order of docs/python.md.
__all__ = [  # noqa: RUF022  # not sorted: in the order above
    "Workspace",
    "RunOptions",
    "read_catalogue",
    "register_corpus",
    "fetch_corpus",
    "curate_corpus",
    "read_samples",
    "Sample",
    "Turn",
    "Part",
    "Media",
    "read_spec",
    "plan_mixture",
    "build_mixture",
    "tokenize_mixture",
    "SequenceDataset",
    "Loader",
    "collate",
    "train_model",
    "load_checkpoint",
    "generate",
    "SmolmixError",
]

_MODULES = {
    "Loader": "smolmix.tokenize.loader",
    "Media": "smolmix.sample",
    "Part": "smolmix.sample",
    "RunOptions": "smolmix.engine.stage",
    "Sample": "smolmix.sample",
    "SequenceDataset": "smolmix.tokenize.loader",
    "SmolmixError": "smolmix.errors",
    "Turn": "smolmix.sample",
    "Workspace": "smolmix.workspace",
    "collate": "smolmix.tokenize.collate",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES.get(name, "smolmix.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])
