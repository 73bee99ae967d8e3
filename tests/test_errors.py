"""Errors say what is wrong, what is allowed and what to do, in one wording each."""

import errno

import pytest

from smolmix import errors


def test_an_output_of_changed_input_names_both_the_change_and_the_command() -> None:
    error = errors.stale(
        "mixtures/demo",
        source="curated/easy-vqa",
        changed="part-00000: row 3 is another sample",
        command="smolmix mix build demo.yaml",
    )
    assert isinstance(error, errors.StaleError)
    assert error.exit_code == 1
    assert str(error) == (
        "mixtures/demo was made from curated/easy-vqa as it was then; curated/easy-vqa has changed "
        "since (part-00000: row 3 is another sample); run `smolmix mix build demo.yaml`"
    )


@pytest.mark.parametrize("name", ["UsageError", "InfeasibleError"])
def test_wrong_calls_exit_with_2(name: str) -> None:
    assert getattr(errors, name)("x").exit_code == 2


@pytest.mark.parametrize(
    "name",
    ["IntegrityError", "IncompleteError", "StaleError", "LockedError", "ConservationError"],
)
def test_wrong_data_exits_with_1(name: str) -> None:
    error = getattr(errors, name)("x")
    assert isinstance(error, errors.DataError)
    assert error.exit_code == 1


def test_a_full_disk_is_named_with_its_path_and_what_helps() -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/data/part-00000.parquet")
    assert errors.machine_error(full) == (
        "/data/part-00000.parquet: No space left on device; free some space"
    )
    moved = OSError(errno.EACCES, "denied", "/from", None, "/to")
    assert str(errors.machine_error(moved)).startswith("/to: ")
    assert errors.machine_error(OSError(errno.ECHILD, "no child")) is None
    assert errors.machine_error(OSError("without a number")) is None


def test_the_nearest_known_name_is_suggested_and_no_far_one() -> None:
    assert errors.nearest("easy_vqa", ["easy-vqa", "docvqa"]) == "; did you mean 'easy-vqa'?"
    assert errors.nearest("xxxx", ["easy-vqa", "docvqa"]) == ""
    assert errors.nearest("a", []) == ""
