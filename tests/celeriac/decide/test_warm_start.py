"""Where a night starts: its first trials, and how earlier trials fit into a changed space."""

from typing import Any

from celeriac.decide.warm_start import PastStudy, PastTrial, changes, fitted, gaps, moved, warm_start
from celeriac.domain.records import Source
from celeriac.domain.space import Space

BEFORE = Space.from_dict(
    {
        "lr": {"float": [0.001, 0.1], "log": True},
        "width": {"int": [10, 20]},
        "optimizer": {"choice": ["sgd", "adam"]},
        "momentum": {"float": [0.5, 0.9], "when": {"optimizer": "sgd"}},
    }
)
SGD: dict[str, Any] = {"lr": 0.01, "width": 12, "optimizer": "sgd", "momentum": 0.7}
ADAM: dict[str, Any] = {"lr": 0.02, "width": 15, "optimizer": "adam"}


def night(
    *trials: tuple[dict[str, Any], float], gap: int = 1, sister: bool = False, goal: Any = "minimize"
) -> PastStudy:
    rows = tuple(PastTrial(number, params, score) for number, (params, score) in enumerate(trials))
    return PastStudy(f"night -{gap}", gap, sister, BEFORE, goal, rows)


def test_the_champion_comes_first_then_the_best_of_the_last_night() -> None:
    past = [night((SGD, 0.3), (ADAM, 0.2)), night((SGD, 0.1), gap=2), night((SGD, 0.0), sister=True)]
    decision = warm_start(BEFORE, None, SGD, past)
    assert [(each.params, each.source) for each in decision.first] == [(SGD, Source.CHAMPION), (ADAM, Source.PRIOR)]
    assert decision.first[1].reason == "the best of the last night: trial 1 of night -1, 0.2"
    assert decision.reason == "2 earlier nights of the slice and 1 of its sisters count"
    assert decision.changes == ()
    most = warm_start(BEFORE, None, None, [night((SGD, 0.3), (ADAM, 0.2), goal="maximize")])
    assert [each.params for each in most.first] == [SGD]


def test_nothing_is_tried_twice() -> None:
    past = [night((SGD, 0.1), (ADAM, 0.2))]
    assert [each.source for each in warm_start(BEFORE, None, SGD, past).first] == [Source.CHAMPION]
    assert warm_start(BEFORE, SGD, SGD, past).first == ()


def test_a_new_slice_starts_from_its_sisters() -> None:
    past = [night((SGD, 0.3), sister=True), night((ADAM, 0.2), sister=True), night((ADAM, 0.1), sister=True, gap=2)]
    decision = warm_start(BEFORE, None, None, past)
    assert [(each.params, each.source) for each in decision.first] == [(SGD, Source.PRIOR), (ADAM, Source.PRIOR)]
    assert decision.reason == "the slice has no past: it starts from 3 sisters"
    assert warm_start(BEFORE, None, None, []).reason == "there is no past to start from"


def test_a_changed_space_is_said_parameter_by_parameter() -> None:
    now = Space.from_dict(
        {
            "lr": {"float": [0.0001, 0.1], "log": True},
            "width": {"int": [14, 20]},
            "optimizer": {"choice": ["adam", "lion"]},
            "dropout": {"float": [0.0, 0.5]},
        }
    )
    assert list(changes(BEFORE, now, {"dropout": 0.1})) == [
        "lr is wider, [0.0001, 0.1]: all earlier trials count",
        "width is narrower or moved, [14, 20]: earlier trials outside of it do not count",
        "optimizer has no option 'sgd' any more: earlier trials outside of it do not count",
        "dropout is new: earlier trials count as if they had had 0.1",
        "momentum is gone: earlier trials count without it",
    ]
    assert fitted(ADAM, now, {"dropout": 0.1}) == {**ADAM, "dropout": 0.1}
    assert fitted(ADAM, now, None) == {**ADAM, "dropout": 0.25}
    assert fitted(SGD, now, None) is None
    assert moved(SGD, now, None) == {"lr": 0.01, "width": 14, "optimizer": "lion", "dropout": 0.25}
    decision = warm_start(now, None, SGD, [night((ADAM, 0.2))])
    assert [each.reason.endswith("moved into tonight's space") for each in decision.first] == [True, True]
    assert len(decision.changes) == 5


def test_a_parameter_that_becomes_active_gets_a_value() -> None:
    assert fitted({"lr": 0.01, "width": 12, "optimizer": "sgd"}, BEFORE, None) == {**SGD, "momentum": 0.7}
    assert fitted({**ADAM, "momentum": 0.8}, BEFORE, None) == ADAM


def test_nights_are_counted_backwards_from_tonight() -> None:
    assert gaps([3, 5, 3, 4], 5) == {5: 0, 4: 1, 3: 2}
