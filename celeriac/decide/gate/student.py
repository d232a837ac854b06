"""Student's t distribution on the standard library, so that a decision can be computed again on any machine.

The incomplete beta function's continued fraction by Lentz's method (Abramowitz and Stegun 26.5.8, 26.7.1). Degrees of
freedom need not be whole: Satterthwaite's are not.
"""

import math
from functools import lru_cache

_TINY = 1e-300
_ENOUGH = 3e-15
_MOST_TERMS = 500
_CLOSE = 1e-12


def upper_tail(t: float, df: float) -> float:
    """P(T > t) for `df` > 0 degrees of freedom; `t` may be infinite."""
    if math.isinf(t):
        return 0.0 if t > 0 else 1.0
    # t²/(df+t²) keeps its digits where t is small, df/(df+t²) where it is large.
    half = 0.5 * _incomplete_beta(df / (df + t * t), t * t / (df + t * t), df / 2, 0.5)
    return half if t > 0 else 1.0 - half


@lru_cache(maxsize=1024)  # a decision asks twice for each look's
def upper_quantile(p: float, df: float) -> float:
    """The t with P(T > t) = p, for 0 < p < 1: regula falsi (Illinois) on the logarithm of the tail."""
    if p > 0.5:
        return -upper_quantile(1.0 - p, df)
    low, above = 0.0, math.log(0.5 / p)
    if above == 0.0:
        return 0.0
    high, side = 1.0, 0
    while (below := _log_ratio(high, df, p)) > 0:
        low, above, high = high, below, 2.0 * high
    for _ in range(_MOST_TERMS):
        if high - low <= _CLOSE * high:
            break
        middle = (low * below - high * above) / (below - above)
        middle = middle if low < middle < high else 0.5 * (low + high)
        found = _log_ratio(middle, df, p)
        if abs(found) <= _CLOSE:
            return middle
        if found > 0:
            low, above, below, side = middle, found, below * (0.5 if side > 0 else 1.0), 1
        else:
            high, below, above, side = middle, found, above * (0.5 if side < 0 else 1.0), -1
    return high


def _log_ratio(t: float, df: float, p: float) -> float:
    return math.log(max(upper_tail(t, df), _TINY) / p)


def f_upper_tail(f: float, df1: float, df2: float) -> float:
    """P(F > f) for a ratio of two variances with `df1` and `df2` degrees of freedom."""
    if f <= 0:
        return 1.0
    return _incomplete_beta(df2 / (df2 + df1 * f), df1 * f / (df2 + df1 * f), df2 / 2, df1 / 2)


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """The regularised incomplete beta function at `x` = 1 - `rest`."""
    if x <= 0.0:
        return 0.0
    if rest <= 0.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):  # there the fraction of the mirror image converges faster
        return 1.0 - _incomplete_beta(rest, x, b, a)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    return math.exp(log_front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    d = _nonzero(1.0 - (a + b) * x / (a + 1.0))
    c, d = 1.0, 1.0 / d
    value = d
    for m in range(1, _MOST_TERMS):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / _nonzero(1.0 + term * d)
            c = _nonzero(1.0 + term / c)
            value *= c * d
        if abs(c * d - 1.0) < _ENOUGH:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
