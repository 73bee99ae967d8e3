import pytest

from smolmix.errors import DataError
from smolmix.model.train.guards import Guard
from smolmix.model.train.recipe import Guards

NAN = float("nan")


def test_a_loss_that_is_not_a_number_stops_the_run_and_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"step 7: .*guards\.nan: skip"):
        Guard(Guards()).allows(7, NAN, 1.0)


def test_skipped_steps_are_counted_until_patience_ends() -> None:
    guard = Guard(Guards(nan="skip", patience=2))
    assert guard.allows(1, 1.0, 1.0)
    assert not guard.allows(2, 1.0, NAN)
    assert not guard.allows(3, NAN, 1.0)
    assert guard.skipped == 2
    with pytest.raises(DataError):
        guard.allows(4, NAN, 1.0)


def test_a_spike_is_measured_by_the_running_median_which_survives_a_resume() -> None:
    guards = Guards(spike="skip", spike_factor=5, window=4)
    guard = Guard(guards)
    assert all(guard.allows(s, 1.0, 1.0 + s / 10) for s in range(4))
    again = Guard(guards)
    again.load_state_dict(guard.state_dict())
    for one in (guard, again):
        assert not one.allows(5, 1.0, 50.0)
        assert one.allows(6, 1.0, 2.0)


def test_after_steps_without_gradients_nothing_is_a_spike() -> None:
    guard = Guard(Guards(spike="stop", window=2))
    assert [guard.allows(step, 0.0, 0.0) for step in (1, 2)] == [True, True]
    assert guard.allows(3, 2.0, 1.0)
