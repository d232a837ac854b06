"""Spaces to begin with, any space there may be (for hypothesis), and how a wrong one is told."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, settings
from hypothesis import strategies as st

from celeriac.domain.errors import SpaceInvalid
from celeriac.domain.space import Choice, Float, Int, Parameter, Space

DIGITS = Space(
    {
        "lr": Float(1e-4, 1e-1, log=True),
        "width": Int(16, 256, log=True),
        "optimizer": Choice(("sgd", "adam")),
        "momentum": Float(0.5, 0.99, when={"optimizer": "sgd"}),
        "nesterov": Choice((False, True), when={"optimizer": "sgd"}),
        "damping": Float(0.0, 1.0, step=0.1, when={"nesterov": False}),
    }
)

SGD = {"lr": 0.01, "width": 64, "optimizer": "sgd", "momentum": 0.9, "nesterov": False, "damping": 0.3}

ADAM = {"lr": 0.01, "width": 64, "optimizer": "adam"}


def problems_of(*args: Any, **kwargs: Any) -> list[str]:
    call, *rest = args
    with pytest.raises(SpaceInvalid) as caught:
        call(*rest, **kwargs)
    return caught.value.problems


options = st.one_of(
    st.booleans(),
    st.integers(-5, 5),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3),
    st.none(),
    st.floats(-2, 2),
)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    if draw(st.booleans()):  # a grid
        start, step = draw(st.integers(-50, 50)), draw(st.sampled_from([0.1, 0.25, 0.3, 2.0, 1 / 3]))
        return Float(start, start + step * draw(st.integers(1, 6)), step=step)
    log = draw(st.booleans())
    bound = st.floats(1e-9, 1e9) if log else st.floats(-1e6, 1e6)
    low, high = sorted((draw(bound), draw(bound)))
    assume(high - low > 1e-6 * max(abs(low), abs(high)))
    return Float(low, high, log=log)


@st.composite
def ints(draw: st.DrawFn, largest: int = 2**40) -> Int:
    if draw(st.booleans()):
        low = draw(st.integers(1, largest - 1))
        return Int(low, draw(st.integers(low + 1, largest)), log=True)
    step = draw(st.integers(1, 7))
    low = draw(st.integers(-20, 20))
    return Int(low, low + step * draw(st.integers(1, 6)), step=step)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    unique = draw(st.lists(options, min_size=1, max_size=4, unique_by=lambda o: (isinstance(o, bool), o)))
    return Choice(tuple(unique))


@st.composite
def spaces(draw: st.DrawFn, finite: bool = False) -> Space:
    kinds: list[st.SearchStrategy[Any]] = [ints(largest=8), choices()] if finite else [ints(), choices(), floats()]
    parameters: dict[str, Parameter] = {}
    for i in range(draw(st.integers(1, 4 if finite else 6))):
        parameter: Parameter = draw(st.one_of(kinds))
        parents = [name for name, p in parameters.items() if not isinstance(p, Float)]
        conditional = draw(st.booleans())
        if parents and conditional:
            parent: str = draw(st.sampled_from(parents))
            values = list(itertools.islice(parameters[parent].points(1), 3))
            wanted = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2))
            parameter = replace(parameter, when={parent: wanted})
        # Names that sort against the order of making, so that columns must be put in order.
        parameters["zyxwvu"[i]] = parameter
    return Space(parameters)


seeds = st.integers(0, 2**32)

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
