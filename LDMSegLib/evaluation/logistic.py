"""Ridge logistic regression, the one fit behind calibration, the odds of shapes and the classifier two-sample test."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

FREE = 1e-6
"""A ridge that leaves an intercept as good as free, and the fit defined where the classes are apart."""


def fit_logistic(
    inputs: np.ndarray, truth: np.ndarray, ridge: np.ndarray, weights: np.ndarray | None = None, towards: np.ndarray | None = None
) -> np.ndarray:
    """Fit P(truth) = 1 / (1 + exp(-inputs · coefficients)) by penalised maximum likelihood (SciPy's exact trust-region search).

    Args:
        inputs: (n, features); a column of ones where an intercept is wanted.
        truth: (n,) 0 or 1.
        ridge: (features,) positive; half of it weighs each coefficient's squared distance from `towards`.
        weights: (n,) of the cases; 1 each without.
        towards: (features,) that the coefficients are pulled to, and where the search begins; 0 without.

    Returns:
        (features,) coefficients.
    """
    weights = np.ones(len(inputs)) if weights is None else weights
    towards = np.zeros(inputs.shape[1]) if towards is None else towards

    def loss(coefficients: np.ndarray) -> tuple[float, np.ndarray]:
        logits, away = inputs @ coefficients, coefficients - towards
        value = weights @ (np.logaddexp(0.0, logits) - truth * logits) + 0.5 * ridge @ away**2
        return float(value), inputs.T @ (weights * (expit(logits) - truth)) + ridge * away

    def curvature(coefficients: np.ndarray) -> np.ndarray:
        p = expit(inputs @ coefficients)
        return (inputs.T * (weights * p * (1.0 - p))) @ inputs + np.diag(ridge)

    tolerance = 1e-11 * max(1.0, float(weights.sum()))
    return minimize(loss, towards, jac=True, hess=curvature, method="trust-exact", options={"gtol": tolerance}).x
