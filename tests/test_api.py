"""The public API: complete, typed, lazy, and each function does what its verb does."""

import inspect
import subprocess
import sys

import pytest

import smolmix

HEAVY = ("torch", "ray", "polars", "pyarrow", "transformers", "pydantic", "numpy")


def test_import_smolmix_imports_nothing_heavy() -> None:
    code = f"import sys, smolmix; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_functions_that_need_no_data_import_no_torch_and_no_ray() -> None:
    code = (
        "import sys, smolmix; smolmix.plan_mixture(smolmix.read_spec('starter')); "
        f"smolmix.Sample; print([m for m in {HEAVY[:2]!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_with_types_and_a_docstring() -> None:
    checked = 0
    for name in smolmix.__all__:
        value = getattr(smolmix, name)
        assert inspect.getdoc(value), name
        if inspect.isfunction(value):
            hints = inspect.signature(value)
            assert hints.return_annotation is not inspect.Signature.empty, name
            for parameter in hints.parameters.values():
                assert parameter.annotation is not inspect.Parameter.empty, name
            for parameter in list(hints.parameters.values())[1:]:
                assert f"{parameter.name}: " in (inspect.getdoc(value) or ""), (name, parameter)
            checked += 1
    assert checked >= 10
    assert set(smolmix.__all__) <= set(dir(smolmix))


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Loadr'"):
        getattr(smolmix, "Loadr")  # noqa: B009  # mypy would refuse smolmix.Loadr


def test_a_registered_corpus_is_known_to_the_steps_and_cannot_replace_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    from smolmix.pipelines.corpora import SOURCES, source_of

    with monkeypatch.context() as patch:
        patch.setattr("smolmix.pipelines.corpora.SOURCES", SOURCES)
        mine = replace(source_of("easy-vqa"), id="mine-for-a-test")
        smolmix.register_corpus(mine)
        smolmix.register_corpus(mine)
        assert source_of("mine-for-a-test") is mine
        with pytest.raises(smolmix.SmolmixError, match="choose another"):
            smolmix.register_corpus(replace(mine, title="another"))
        del SOURCES["mine-for-a-test"]
