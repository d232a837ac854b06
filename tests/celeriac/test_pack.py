"""The handle of a pack, as the user's script sees it, without the service and with what the service says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from celeriac import Pack
from celeriac.pack import PackTrial
from celeriac.trial import PREEMPT, TrialPreempted, TrialStopped


class Told:
    """The channel of one trial: what was sent, and what is asked of it."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.word: str | None = None
        self.settled = 0

    def send(self, message: dict[str, Any]) -> None:
        self.said.append((message["step"], message["value"]))

    def poll(self) -> str | None:
        return self.word

    def ended(self, trial: PackTrial, returned: Any) -> None:
        self.said.append(returned)

    def failed(self, trial: PackTrial, error: BaseException) -> None:
        self.said.append(error)

    def stopped(self, trial: PackTrial, word: str) -> None:
        self.said.append(word)

    def settle(self, trials: Sequence[PackTrial]) -> None:
        self.settled += 1


def a_pack(place: Path, count: int = 3) -> tuple[Pack, list[Told]]:
    channels = [Told() for _ in range(count)]
    trials = [
        PackTrial({"x": n}, channel=each, root=place, directory=place / str(n), number=n + 10)
        for n, each in enumerate(channels)
    ]
    return Pack(trials), channels


def test_a_script_runs_without_the_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = Pack.offline([{"lr": 0.1}, {"lr": 0.2}], seed=7, directory=tmp_path)
    assert [trial.seed for trial in pack] == [7, 8]
    kept = pack.report([0.5, 0.25], step=0, checkpoint=lambda place, path: Path(path).write_text(str(place)))
    assert kept == [0, 1]
    pack.trials[1].finish(0.75)
    assert pack.report([0.125], step=1) == [0]
    pack.conclude([2.0])
    assert [trial.result for trial in pack.trials] == [2.0, 0.75]
    assert [report["value"] for report in pack.trials[0].reports] == [0.5, 0.125]
    assert len(list(tmp_path.glob("*/*.ckpt"))) == 2
    assert "trial 1 step 0: 0.25" in capsys.readouterr().out
    with pytest.raises(ValueError, match="at least one trial"):
        Pack.offline([])


def test_a_trial_that_is_stopped_leaves_and_the_others_go_on(tmp_path: Path) -> None:
    pack, (first, second, third) = a_pack(tmp_path)
    second.word = "stop"
    assert pack.report([1, 2, 3], step=0) == [0, 2]
    assert [trial.number for trial in pack.active] == [10, 12]
    assert second.said == [(0, 2.0), "stop"]
    assert pack.trials[1].heeded == "stop"
    assert pack.report([4, 5], step=1) == [0, 1]
    assert (first.said, third.said) == ([(0, 1.0), (1, 4.0)], [(0, 3.0), (1, 5.0)])
    assert first.settled == 2, "they wait together, and not one after the other"


def test_when_none_goes_on_the_script_is_stopped(tmp_path: Path) -> None:
    pack, channels = a_pack(tmp_path, 2)
    for each in channels:
        each.word = "stop"
    with pytest.raises(TrialStopped):
        pack.report([1, 2], step=0)
    assert pack.active == ()
    pack.conclude(None)


def test_a_pack_is_handed_back_as_one(tmp_path: Path) -> None:
    pack, channels = a_pack(tmp_path)
    pack.trials[2].finish(0.5)
    channels[0].word = PREEMPT
    with pytest.raises(TrialPreempted):
        pack.report([1, 2], step=3)
    assert [each.said[-1] for each in channels] == [PREEMPT, PREEMPT, 0.5]


def test_single_reports_stop_no_other_trial_and_hand_back_at_the_last(tmp_path: Path) -> None:
    pack, channels = a_pack(tmp_path)
    first, second, third = pack.trials
    channels[0].word = "stop"
    first.report(1.0, step=0)
    assert not first.active
    channels[1].word = channels[2].word = PREEMPT
    second.report(1.0, step=0)
    assert second.active
    with pytest.raises(TrialPreempted):
        third.report(1.0, step=0)
    assert channels[1].said == [(0, 1.0), PREEMPT]


def test_a_trial_fails_by_itself(tmp_path: Path) -> None:
    pack, (first, _, _) = a_pack(tmp_path)
    error = KeyError("its own")
    pack.trials[0].fail(error)
    pack.trials[0].fail(ValueError("a second time"))
    pack.trials[0].finish(1.0)
    assert first.said == [error]
    assert [trial.number for trial in pack.active] == [11, 12]


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ([1, 2], ValueError, "2 values for 3 trials"),
        (1.0, TypeError, "a list with one for each"),
        (None, TypeError, "nothing"),
    ],
)
def test_values_are_one_for_each_active_trial(tmp_path: Path, values: Any, error: type[Exception], words: str) -> None:
    pack, channels = a_pack(tmp_path)
    with pytest.raises(error, match=words):
        pack.report(values, step=0)
    with pytest.raises(error):
        pack.conclude(values)
    assert all(each.said == [] for each in channels)


def test_an_array_of_values_will_do(tmp_path: Path) -> None:
    import numpy as np

    pack, channels = a_pack(tmp_path)
    assert pack.report(np.array([1.0, 2.0, 3.0]), step=0, metrics=[{"a": 1}, {}, {}]) == [0, 1, 2]
    pack.conclude(np.array([4.0, 5.0, 6.0]))
    assert [each.said[-1] for each in channels] == [4.0, 5.0, 6.0]
