"""The Gaussian process against the textbook's formulas, and its refits."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.linalg import LinAlgError
from scipy.optimize import check_grad
from sklearn.gaussian_process.kernels import Matern

from coordinator.samplers.gp import GaussianProcess, Prior, Rows, _Likelihood, fitted

GROUPS = (0, 1, 1, 2)  # the second parameter has two columns


def rows(count: int, seed: int = 3, **changes: Any) -> Rows:
    rng = np.random.default_rng(seed)
    x = rng.random((count, len(GROUPS)))
    y = np.sin(5 * x[:, 0]) + x[:, 1] * x[:, 3]
    y = (y - y.mean()) / y.std()
    return Rows(x, y, changes.get("extra", np.zeros(count)), changes.get("weight", np.ones(count)))


def by_hand(theta: np.ndarray[Any, Any], told: Rows, x: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """Mean and deviation from the inverse of the kernel matrix, with scikit-learn's Matérn."""
    kernel = Matern(np.exp(theta[:-1])[list(GROUPS)], nu=2.5)
    noise = (np.exp(theta[-1]) + told.extra) / told.weight
    inverse = np.linalg.inv(kernel(told.x) + np.diag(noise))
    cross = kernel(x, told.x)
    amplitude = told.y @ inverse @ told.y / len(told.y)
    variance = amplitude * (1.0 - np.einsum("ij,jk,ik->i", cross, inverse, cross))
    return cross @ inverse @ told.y, np.sqrt(variance)


@pytest.mark.parametrize("changes", [{}, {"extra": np.linspace(0, 1, 30), "weight": np.linspace(0.1, 1, 30)}])
def test_it_predicts_what_the_formulas_say(changes: dict[str, Any]) -> None:
    told, asked = rows(30, **changes), rows(50, seed=4).x
    theta = np.log([0.3, 0.8, 2.0, 0.01])
    mean, deviation = GaussianProcess(theta, GROUPS, told).predict(asked, return_std=True)
    expected_mean, expected_deviation = by_hand(theta, told, asked)
    assert mean == pytest.approx(expected_mean, abs=1e-6)
    assert deviation == pytest.approx(expected_deviation, abs=1e-5)


def test_the_likelihoods_gradient_is_its_slope() -> None:
    likelihood = _Likelihood(GROUPS, rows(25, extra=np.linspace(0, 0.3, 25), weight=np.full(25, 0.7)), Prior())
    value: Callable[..., float] = lambda theta: likelihood(theta)[0]  # noqa: E731
    slope: Callable[..., Any] = lambda theta: likelihood(theta)[1]  # noqa: E731
    for theta in (np.log([0.3, 0.8, 2.0, 0.01]), np.log([1.0, 0.1, 0.5, 0.3])):
        assert check_grad(value, slope, theta) < 1e-3 * np.linalg.norm(slope(theta))


def test_a_parameter_that_matters_gets_the_shorter_length() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((60, 2))
    y = np.sin(7 * x[:, 0])
    theta = fitted((0, 1), Rows(x, (y - y.mean()) / y.std(), np.zeros(60), np.ones(60)), Prior())
    assert theta[0] < theta[1] - 1.0


def test_noise_is_estimated() -> None:
    rng = np.random.default_rng(2)
    x = rng.random((150, 1))
    y = np.sin(6 * x[:, 0]) + 0.5 * rng.standard_normal(150)
    y = (y - y.mean()) / y.std()
    told = Rows(x, y, np.zeros(150), np.ones(150))
    theta = fitted((0,), told, Prior())
    model = GaussianProcess(theta, (0,), told)
    share = 0.25 / (0.25 + np.sin(6 * x[:, 0]).var())  # of the variance of y
    assert np.exp(theta[-1]) * model.amplitude == pytest.approx(share, rel=0.35)


def test_a_row_of_great_known_noise_says_little() -> None:
    quiet = rows(20)
    asked = quiet.x[:1]
    extra = np.zeros(20)
    extra[0] = 1e6
    told = Rows(quiet.x, np.concatenate([[50.0], quiet.y[1:]]), extra, np.ones(20))
    theta = np.log([0.5, 0.5, 0.5, 0.01])
    without = GaussianProcess(theta, GROUPS, Rows(quiet.x[1:], quiet.y[1:], extra[1:], np.ones(19)))
    assert GaussianProcess(theta, GROUPS, told).predict(asked) == pytest.approx(without.predict(asked), abs=1e-3)


def test_a_believed_point_moves_no_mean_and_shrinks_the_variance_as_a_refit_would() -> None:
    told, asked, pending = rows(30), rows(50, seed=4).x, rows(3, seed=5).x
    theta = fitted(GROUPS, told, Prior())
    model = GaussianProcess(theta, GROUPS, told)
    before = model.predict(asked)
    believed = np.asarray(model.predict(pending))
    model.believe(pending[:1])
    model.believe(pending[1:])
    mean, deviation = model.predict(asked, return_std=True)
    more = Rows(np.vstack([told.x, pending]), np.append(told.y, believed), np.zeros(33), np.ones(33))
    anew = GaussianProcess(theta, GROUPS, more)
    expected_mean, expected_deviation = anew.predict(asked, return_std=True)
    assert mean == pytest.approx(before)
    assert mean == pytest.approx(expected_mean, abs=1e-5)
    scale = np.sqrt(model.amplitude / anew.amplitude)  # which a believed point leaves alone, and a refit does not
    assert deviation == pytest.approx(expected_deviation * scale, abs=1e-4)


def test_what_cannot_be_factored_is_an_error() -> None:
    told = Rows(np.full((3, 4), np.nan), np.zeros(3), np.zeros(3), np.ones(3))
    with pytest.raises(LinAlgError):
        GaussianProcess(np.zeros(4), GROUPS, told)
    with pytest.raises(LinAlgError):
        fitted(GROUPS, told, Prior())
