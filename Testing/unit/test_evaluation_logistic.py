"""The one logistic fit, against scikit-learn and by what a maximum is."""

import numpy as np
import pytest
from scipy.special import expit

from LDMSegLib.evaluation.logistic import FREE, fit_logistic


def drawn(n=400, seed=0):
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_normal((n, 3)), np.ones(n)])
    return x, (rng.random(n) < expit(x @ [1.5, -0.5, 0.0, 0.3])).astype(float)


def test_it_equals_scikit_learns_ridge_regression():
    sklearn = pytest.importorskip("sklearn.linear_model")
    x, y = drawn()
    theirs = sklearn.LogisticRegression(C=1 / 2.0, tol=1e-10, max_iter=1000).fit(x[:, :-1], y)
    ours = fit_logistic(x, y, np.array([2.0, 2.0, 2.0, FREE]))
    assert ours == pytest.approx(np.append(theirs.coef_[0], theirs.intercept_[0]), abs=1e-5)


def test_weights_count_as_copies_do():
    x, y = drawn(60)
    twice = np.arange(60) < 20
    copied = fit_logistic(np.concatenate([x, x[twice]]), np.concatenate([y, y[twice]]), np.ones(4))
    assert fit_logistic(x, y, np.ones(4), 1.0 + twice) == pytest.approx(copied, abs=1e-8)


def test_coefficients_are_pulled_to_where_they_are_wanted():
    x, y = drawn(50)
    wanted = np.array([1.0, 0.0, -1.0, 0.5])
    assert fit_logistic(x, y, np.full(4, 1e6), towards=wanted) == pytest.approx(wanted, abs=1e-3)


def test_classes_that_are_apart_have_a_finite_fit():
    x = np.column_stack([np.linspace(-1, 1, 40), np.ones(40)])
    found = fit_logistic(x, (x[:, 0] > 0).astype(float), np.array([1.0, FREE]))
    assert np.isfinite(found).all() and found[0] > 1.0
