"""What lmms-eval reads from our entry point: the name `smolmix`, and the class behind it."""

from typing import Any


def manifest() -> Any:
    """Return the manifest of model `smolmix`."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="smolmix", simple_class_path="smolmix.model.eval.harness.lmms.SmolmixForLmmsEval"
    )
