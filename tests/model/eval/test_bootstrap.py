"""Intervals and paired tests against closed forms and against counting every case."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from smolmix.model.eval.bootstrap import clusters_of, interval, mcnemar_p, sign_flip_p


def test_questions_that_share_a_medium_even_through_others_are_one_cluster() -> None:
    keys = [["s1", "a"], ["s2", "b"], ["s3", "a", "b"], ["s4"], ["s4"], ["s5", "c"]]
    found = clusters_of(keys).tolist()
    assert found[0] == found[1] == found[2]
    assert found[3] == found[4]
    assert len(set(found)) == 3


def test_the_interval_is_that_of_the_normal_where_questions_are_independent() -> None:
    rng = np.random.default_rng(0)
    values = (rng.random(2000) < 0.3).astype(float)
    low, high = interval(values) or (0.0, 0.0)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=0.003)
    assert high == pytest.approx(values.mean() + half, abs=0.003)


def test_agreeing_questions_about_one_image_count_as_one() -> None:
    images = (np.random.default_rng(1).random(200) < 0.5).astype(float)
    values, clusters = np.repeat(images, 10), np.repeat(np.arange(200), 10)
    drawn_whole, drawn_alone = interval(values, clusters), interval(values)
    assert drawn_whole is not None
    assert drawn_alone is not None
    assert drawn_whole == pytest.approx(interval(images), abs=0.02)
    widths = [high - low for low, high in (drawn_whole, drawn_alone)]
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(10), rel=0.1)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    truth, hits = 0.6, 0
    for trial in range(200):
        chance = np.clip(rng.normal(truth, 0.2, 100), 0, 1)
        values = (rng.random((100, 4)) < chance[:, None]).astype(float).ravel()
        low, high = interval(values, np.repeat(np.arange(100), 4), seed=trial) or (1.0, 0.0)
        hits += low <= truth <= high
    assert 0.89 <= hits / 200 <= 0.99


def test_one_medium_has_no_interval() -> None:
    assert interval(np.array([1.0, 0.0, 1.0]), np.zeros(3, np.int64)) is None


def test_all_sign_flips_are_enumerated_if_there_are_few() -> None:
    apart = np.array([0.4, -0.1, 0.3, 0.2, 0.0])
    flipped = [abs(np.dot(s, apart)) for s in product((-1, 1), repeat=5)]
    wanted = np.mean([f >= abs(apart.sum()) - 1e-12 for f in flipped])
    assert sign_flip_p(apart) == pytest.approx(wanted)


def test_sampled_sign_flips_agree_with_scipy() -> None:
    apart = np.random.default_rng(3).normal(0.1, 1, 400)
    wanted = stats.permutation_test(
        (apart,), np.mean, permutation_type="samples", n_resamples=9999, rng=0
    ).pvalue
    assert sign_flip_p(apart) == pytest.approx(wanted, abs=0.02)


def test_equal_models_have_p_one() -> None:
    assert sign_flip_p(np.zeros(10)) == 1
    assert mcnemar_p(0, 0) == 1


def test_mcnemar_is_the_exact_binomial() -> None:
    # 8 against 2: 2 * P(X <= 2), X binomial(10, ½) = 2 * (1 + 10 + 45) / 1024.
    assert mcnemar_p(8, 2) == pytest.approx(112 / 1024)
    assert mcnemar_p(2, 8) == mcnemar_p(8, 2)
    assert mcnemar_p(5, 5) == 1
