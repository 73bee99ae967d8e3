"""Registers model `smolmix` with lmms-eval, through the entry point of this package."""

from typing import Any


def manifest() -> Any:
    """Return the manifest of model `smolmix`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="smolmix", simple_class_path="smolmix.model.eval.harness.lmms.SmolmixForLmmsEval"
    )
