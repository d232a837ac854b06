"""A Gaussian process on scikit-optimize's regressor, used so that one suggestion takes milliseconds.

What is done otherwise than by `skopt.Optimizer`, each measured: hyperparameters are fitted rarely, from one start, with
priors that keep few points from saying too much; the variance of all candidates is one triangular solve instead of an
`einsum` without BLAS (20 times faster); a pending trial is believed to score what the model expects, which changes no mean and
appends rows to the kept Cholesky factor instead of fitting anew.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.optimize import minimize
from skopt.learning.gaussian_process import GaussianProcessRegressor
from skopt.learning.gaussian_process.kernels import ConstantKernel, Kernel, Matern, WhiteKernel

from coordinator.samplers.box import Array

_JITTER = 1e-8
_UNBOUNDED = (1e-12, 1e12)  # the limits are ours, below; sklearn would warn when a fit comes near its own
_MAX_STEPS = 25
# Log-normal priors and hard limits, in logarithms: (mean, standard deviation, lowest, highest).
_AMPLITUDE = (0.0, 1.0, np.log(1e-2), np.log(1e2))
_LENGTH = (np.log(0.6), 1.0, np.log(0.02), np.log(20.0))
_NOISE = (np.log(1e-3), 1.5, np.log(1e-6), np.log(1.0))


class BelievingGP(GaussianProcessRegressor):  # type: ignore[misc]
    """skopt's regressor with fixed hyperparameters, a fast `predict`, and pending points."""

    L_: Array
    X_train_: Array
    alpha_: Array
    kernel_: Any

    def believe(self, places: Array) -> None:
        """Take it that these pending points score what is expected there: no mean changes, the variance near them shrinks."""
        cross = solve_triangular(self.L_, self.kernel_(self.X_train_, places), lower=True)
        rows, more = len(self.L_), len(places)
        own = self.kernel_(places) + (self.noise + _JITTER) * np.eye(more) - cross.T @ cross
        factor = np.zeros((rows + more, rows + more))
        factor[:rows, :rows], factor[rows:, :rows] = self.L_, cross.T
        factor[rows:, rows:] = cholesky(own + _JITTER * np.eye(more), lower=True)
        self.L_ = factor
        self.X_train_ = np.vstack([self.X_train_, places])
        self.alpha_ = np.concatenate([self.alpha_, np.zeros(more)])  # a believed point has no residual

    def predict(self, X: Array, return_std: bool = False) -> Any:  # noqa: N803 - sklearn's name
        """The mean at each row of `X`, and its standard deviation when asked for."""
        cross = self.kernel_(X, self.X_train_)
        mean = cross @ self.alpha_
        if not return_std:
            return mean
        half = solve_triangular(self.L_, cross.T, lower=True, check_finite=False)
        variance = self.kernel_.diag(X) - np.einsum("ij,ij->j", half, half)
        return mean, np.sqrt(np.maximum(variance, 1e-14))


def believing(theta: Array, places: Array, losses: Array) -> BelievingGP:
    """The model of these points under the hyperparameters that `fitted` found. Raises numpy's LinAlgError."""
    kernel = _kernel(places.shape[1]).clone_with_theta(theta[:-1])
    noise = float(np.exp(theta[-1]))
    model = BelievingGP(kernel=kernel, alpha=_JITTER, optimizer=None, noise=noise)
    model.fit(places, losses)
    return model


def _kernel(columns: int) -> Kernel:
    amplitude = ConstantKernel(1.0, _UNBOUNDED)
    return amplitude * Matern(np.full(columns, 0.6), [_UNBOUNDED] * columns, nu=2.5)


def fitted(places: Array, losses: Array) -> Array:
    """The hyperparameters (logarithms: amplitude, a length for each column, noise) most likely after these points.

    A pure function of its arguments: it always starts from the same place, so that no history of fits matters. Raises
    numpy's LinAlgError when the numbers do not allow it.
    """
    return _fitted(places.tobytes(), losses.tobytes(), places.shape[1])


@lru_cache(maxsize=64)
def _fitted(places: bytes, losses: bytes, columns: int) -> Array:
    """`fitted`, remembered: between two refits the very same points are asked for again and again."""
    found: list[Array] = []
    kernel = _kernel(columns) + WhiteKernel(1e-3, _UNBOUNDED)
    model = GaussianProcessRegressor(kernel=kernel, alpha=_JITTER, optimizer=_most_likely(found))
    values = np.frombuffer(losses)
    model.fit(np.frombuffer(places).reshape(len(values), columns), values)
    return found[0]


def _most_likely(found: list[Array]) -> Callable[..., tuple[Array, float]]:
    """An optimizer for the regressor: one L-BFGS-B run on the likelihood times the priors; leaves its result in `found`."""

    def optimizer(objective: Callable[[Array], Any], start: Array, bounds: Array) -> tuple[Array, float]:
        settings = np.array([_AMPLITUDE, *[_LENGTH] * (len(start) - 2), _NOISE])
        mean, deviation = settings[:, 0], settings[:, 1]

        def loss(theta: Array) -> tuple[float, Array]:
            value, gradient = objective(theta)
            off = (theta - mean) / deviation
            return float(value + 0.5 * off @ off), gradient + off / deviation

        result = minimize(
            loss,
            mean,
            jac=True,
            method="L-BFGS-B",
            bounds=settings[:, 2:],
            options={"maxiter": _MAX_STEPS},
        )
        found.append(np.asarray(result.x, dtype=np.float64))
        return result.x, float(result.fun)

    return optimizer
