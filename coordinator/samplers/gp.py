"""A small Gaussian process: the model of the bayesian sampler, fast enough to be asked for each trial.

Matérn 5/2 over one distance, with a length scale for each parameter (automatic relevance). Length scales and noise
maximise the likelihood times log-normal priors; the amplitude has a closed form. Rows may carry known noise and
weights. A pending trial is assumed to score what the model expects there: that changes no mean and only appends rows
to the Cholesky factor. All functions are pure and run on one thread (the caller sees to that).

Sources: Rasmussen & Williams, Gaussian Processes for Machine Learning, 2.7 and 5.4.1; Ginsbourger et al. 2010,
"Kriging is well-suited to parallelize optimization" (the believer).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, solve_triangular
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.optimize import minimize

Array = NDArray[np.float64]
Groups = tuple[int, ...]

_JITTER = 1e-8
_MAX_STEPS = 30
_HOPELESS = 1e25  # a loss above any that can be, where the kernel matrix cannot be factored


@dataclass(frozen=True, slots=True)
class Prior:
    """Log-normal priors: the mean and deviation of the logarithm, and hard limits (logarithms)."""

    length: tuple[float, float] = (float(np.log(0.6)), 1.0)
    noise: tuple[float, float] = (float(np.log(1e-3)), 1.5)
    length_limits: tuple[float, float] = (-4.0, 3.0)
    noise_limits: tuple[float, float] = (float(np.log(1e-6)), 0.0)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a model is told. `x` (rows, columns): encoded points; `y`: standardised losses; `extra`: known noise
    variances.
    """

    x: Array
    y: Array
    extra: Array
    weight: Array


class GaussianProcess:
    """The posterior under fixed hyperparameters. `theta`: logarithms of a length for each parameter, then of the
    noise.

    `groups` names for each encoded column the parameter that it belongs to. Raises LinAlgError when it cannot be
    factored.
    """

    def __init__(self, theta: Array, groups: Groups, rows: Rows) -> None:
        self._scale = np.exp(-theta[:-1])[list(groups)]
        self._noise = float(np.exp(theta[-1])) + _JITTER
        self._x = rows.x * self._scale
        kernel = matern(squared_distances(self._x, self._x))
        kernel[np.diag_indices(len(rows.y))] += (self._noise + rows.extra) / rows.weight
        self._factor = cholesky(kernel)
        self._alpha = cho_solve((self._factor, True), rows.y, check_finite=False)
        self.amplitude = max(float(rows.y @ self._alpha) / len(rows.y), 1e-10)

    def believe(self, x: Array) -> None:
        """Take it that these pending points score what is expected there: no mean changes, the variance near them
        shrinks.
        """
        x = x * self._scale
        known = len(self._factor)
        cross = solve_triangular(self._factor, matern(squared_distances(self._x, x)), lower=True, check_finite=False)
        own = matern(squared_distances(x, x)) - cross.T @ cross
        own[np.diag_indices(len(x))] += self._noise + _JITTER
        factor = np.zeros((known + len(x), known + len(x)))
        factor[:known, :known], factor[known:, :known] = self._factor, cross.T
        factor[known:, known:] = cholesky(own)
        self._factor = factor
        self._x = np.vstack([self._x, x])
        self._alpha = np.concatenate([self._alpha, np.zeros(len(x))])  # a believed point has no residual

    def predict(self, x: Array, return_std: bool = False) -> tuple[Array, Array] | Array:
        """The mean at each row of `x` and, when asked for, the standard deviation of the noise-free loss."""
        kernel = matern(squared_distances(x * self._scale, self._x))
        mean: Array = kernel @ self._alpha
        if not return_std:
            return mean
        half = solve_triangular(self._factor, kernel.T, lower=True, check_finite=False)
        variance = self.amplitude * (1.0 - np.einsum("ij,ij->j", half, half))
        return mean, np.sqrt(np.maximum(variance, 1e-14))


def squared_distances(a: Array, b: Array) -> Array:
    """Between each row of `a` and each of `b`, in one matrix product; rounding may leave tiny negatives at 0."""
    found: Array = a @ b.T
    found *= -2.0
    found += np.einsum("ij,ij->i", a, a)[:, None]
    found += np.einsum("ij,ij->i", b, b)
    return np.maximum(found, 0.0, out=found)


def matern(squared: Array) -> Array:
    """Matérn 5/2 of squared distances."""
    root = np.sqrt(5.0 * squared)
    found: Array = np.exp(-root)
    found *= 1.0 + root + (5.0 / 3.0) * squared
    return found


def cholesky(matrix: Array) -> Array:
    """The lower factor. Raises LinAlgError when the matrix is not positive definite, or holds a NaN."""
    factor, info = dpotrf(matrix, lower=1, clean=1, overwrite_a=0)
    if info or not np.isfinite(np.diag(factor)).all():
        raise LinAlgError("the kernel matrix is not positive definite")
    return np.asarray(factor)


def fitted(groups: Groups, rows: Rows, prior: Prior) -> Array:
    """The hyperparameters that are most likely after these rows, from one fixed start: no history of fits matters.

    Raises LinAlgError when the numbers do not allow it.
    """
    blobs = (rows.x.tobytes(), rows.y.tobytes(), rows.extra.tobytes(), rows.weight.tobytes())
    return _fitted(groups, blobs, prior)


@lru_cache(maxsize=64)
def _fitted(groups: Groups, blobs: tuple[bytes, bytes, bytes, bytes], prior: Prior) -> Array:
    """`fitted`, remembered: between two refits the very same rows are asked for again and again."""
    x, y, extra, weight = (np.frombuffer(blob) for blob in blobs)
    likelihood = _Likelihood(groups, Rows(x.reshape(len(y), len(groups)), y, extra, weight), prior)
    parameters = max(groups) + 1
    start = np.array([prior.length[0]] * parameters + [prior.noise[0]])
    result = minimize(
        likelihood,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[prior.length_limits] * parameters + [prior.noise_limits],
        options={"maxiter": _MAX_STEPS},
    )
    if not result.fun < _HOPELESS:
        raise LinAlgError("no hyperparameters make the kernel matrix positive definite")
    return np.asarray(result.x, dtype=np.float64)


class _Likelihood:
    """The negative log posterior of the hyperparameters, and its gradient."""

    def __init__(self, groups: Groups, rows: Rows, prior: Prior) -> None:
        self._rows, self._prior = rows, prior
        parameters = max(groups) + 1
        own = [rows.x[:, np.array(groups) == parameter] for parameter in range(parameters)]
        self._parts = np.array([squared_distances(each, each).ravel() for each in own])
        self._mean = np.array([prior.length[0]] * parameters + [prior.noise[0]])
        self._deviation = np.array([prior.length[1]] * parameters + [prior.noise[1]])

    def __call__(self, theta: Array) -> tuple[float, Array]:
        """At `theta`; hopeless where the kernel matrix cannot be factored."""
        y, n = self._rows.y, len(self._rows.y)
        scale = np.exp(-2.0 * theta[:-1])
        squared = (scale @ self._parts).reshape(n, n)
        root = np.sqrt(5.0 * squared)
        decay = np.exp(-root)
        kernel = (1.0 + root + (5.0 / 3.0) * squared) * decay
        noise = np.exp(theta[-1])
        kernel[np.diag_indices(n)] += (noise + self._rows.extra) / self._rows.weight + _JITTER
        factor, info = dpotrf(kernel, lower=1)
        if info:
            return _HOPELESS, np.zeros_like(theta)
        alpha = cho_solve((factor, True), y, check_finite=False)
        amplitude = max(float(y @ alpha) / n, 1e-10)
        value = 0.5 * n * np.log(amplitude) + float(np.log(np.diag(factor)).sum())
        inverse = np.tril(dpotri(factor, lower=1)[0])
        slope = 0.5 * (inverse + np.tril(inverse, -1).T - np.outer(alpha, alpha) / amplitude)
        by_square = slope * (-(5.0 / 6.0) * (1.0 + root) * decay)
        gradient = np.empty_like(theta)
        gradient[:-1] = (self._parts @ by_square.ravel()) * scale * -2.0
        gradient[-1] = float((np.diag(slope) / self._rows.weight).sum()) * noise
        off = (theta - self._mean) / self._deviation
        return value + 0.5 * float(off @ off), gradient + off / self._deviation
