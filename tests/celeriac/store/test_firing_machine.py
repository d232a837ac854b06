"""Firings and champions, driven at random on both stores at once: they answer alike, and after every step each firing
has at most one study a stage, and the champions of a slice are a line.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from celeriac.domain.errors import CeleriacError
from celeriac.domain.firing_moves import FiringMove
from celeriac.domain.lifecycle import FIRING_TRANSITIONS, FiringEvent, StudyEvent
from celeriac.domain.records import (
    CLOSED,
    WORKING,
    Firing,
    FiringState,
    Source,
    Stage,
    StudyRecord,
    Suggestion,
    VerdictKind,
)
from celeriac.store import Store
from tests.celeriac.store.conftest import Subject, memory_subject, postgres_subject
from tests.celeriac.store.scenes import NOON, new_study, opening, verdict

#: Which stage an event opens or continues.
OPENS = {
    FiringEvent.LOOK: Stage.LOOK,
    FiringEvent.SEARCH: Stage.SEARCH,
    FiringEvent.CONFIRM: Stage.CONFIRM,
    FiringEvent.MORE: Stage.CONFIRM,
}
POINT = Suggestion({"lr": 0.1}, Source.CHAMPION, {"by": "the night"}, 7)

places = st.integers(0, 3)


class Nights(RuleBasedStateMachine):
    """Both stores side by side; firings are known by their place, since ids may differ."""

    subjects: tuple[Subject, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.schedule = new_study().name  # a database outlives an example
        self.made = 0

    def both(self, ask: Callable[[Store], Any]) -> Any:
        answers = [answer(ask, subject.store) for subject in self.subjects]
        assert all(each == answers[0] for each in answers), answers
        return answers[0]

    def firing(self, store: Store, place: int) -> Firing:
        firings = sorted(store.firings(self.schedule, limit=100), key=lambda each: each.due_at)
        return firings[place % len(firings)]

    @precondition(lambda self: self.made < 3)
    @rule(again=st.booleans(), region=st.sampled_from(["eu", "us"]))
    def a_clock_fires(self, again: bool, region: str) -> None:
        at = NOON + timedelta(days=self.made - again)
        name = f"{self.schedule}/{self.made}"
        new = new_study(name, schedule=self.schedule, slice={"region": region})
        self.both(lambda store: store.fire(at, new) is not None)
        self.made += 1

    @precondition(lambda self: self.made > 0)
    @rule(
        place=places,
        which=st.integers(0, 20),
        wrong=st.sampled_from([None] * 6 + [*FiringEvent]),
        stale=st.sampled_from([0] * 7 + [1]),
        promotes=st.sampled_from([True, True, True, False]),
    )
    def a_coordinator_moves(
        self, place: int, which: int, wrong: FiringEvent | None, stale: int, promotes: bool
    ) -> None:
        """Mostly a move that its table allows; now and then any, or one that was decided a turn ago."""

        def move(store: Store) -> Any:
            firing = self.firing(store, place)
            legal = [*FIRING_TRANSITIONS[firing.state]] or [FiringEvent.SEARCH]
            event = wrong or legal[which % len(legal)]
            found = {study.stage: study for study in store.stage_studies([firing.id])}
            stage, ends = OPENS.get(event), FIRING_TRANSITIONS[firing.state].get(event) not in WORKING
            opened = opening(store, firing, stage, *([] if stage is Stage.SEARCH else [POINT] * 2)) if stage else None
            judged = None
            if ends and found:
                judged = replace(
                    verdict(next(iter(found.values())), promoted=event is FiringEvent.PROMOTE, slice_=firing.slice),
                    schedule=self.schedule,
                    before_id=self.standing(store, firing) if promotes else None,
                )
            moved = store.move_firing(firing.id, firing.turn - stale, FiringMove(event, event, opened, judged))
            return moved.state, moved.turn, len(moved.steps)

        self.both(move)

    @precondition(lambda self: self.made > 0)
    @rule(place=places, stage=st.sampled_from(Stage), what=st.sampled_from(["stop", "stop", "reopen", "delete"]))
    def a_person_has_a_study(self, place: int, stage: Stage, what: str) -> None:
        def act(store: Store) -> Any:
            firing = self.firing(store, place)
            for study in store.stage_studies([firing.id]):
                if study.stage is stage and what == "delete":
                    return store.delete_study(study.id)
                if study.stage is stage:
                    return store.move_study(study.id, StudyEvent(what), what).state
            return None

        before = self.both(lambda store: len(store.firings(self.schedule, limit=100)))
        self.both(act)
        self.made -= before - self.both(lambda store: len(store.firings(self.schedule, limit=100)))

    @precondition(lambda self: self.made > 0)
    @rule(place=places, seen=st.booleans())
    def a_person_promotes(self, place: int, seen: bool) -> None:
        def promote(store: Store) -> Any:
            firing = self.firing(store, place)
            studies = store.stage_studies([firing.id])
            if not studies:
                return None
            by_hand = replace(
                verdict(studies[0], promoted=True, slice_=firing.slice),
                schedule=self.schedule,
                kind=VerdictKind.BY_HAND,
                who="ada",
                firing_id=None,
                before_id=self.standing(store, firing) if seen else None,
            )
            return store.record_champion(by_hand).promoted

        self.both(promote)

    def standing(self, store: Store, firing: Firing) -> int | None:
        found = (each for each in store.champions(self.schedule) if each.slice == firing.slice)
        return next((each.id for each in found), None)

    @invariant()
    def each_firing_has_one_study_a_stage_and_champions_are_a_line(self) -> None:
        def story(store: Store) -> Any:
            firings = sorted(store.firings(self.schedule, limit=100), key=lambda each: each.due_at)
            waiting, told = store.firings_to_move(), []
            for firing in firings:
                studies = store.stage_studies([firing.id])
                assert len({study.stage for study in studies}) == len(studies)
                assert len(firing.steps) == firing.turn + 1
                is_waiting = firing.state in WORKING and not is_at_work(firing, studies)
                assert (firing.id in waiting) == is_waiting
                told.append((firing.state, firing.turn, [(s.stage, s.state, s.counts, s.spec) for s in studies]))
            verdicts = store.verdicts(self.schedule, limit=1000)[::-1]
            for region in ("eu", "us"):
                line = [each for each in verdicts if each.promoted and each.slice["region"] == region]
                assert [each.before_id for each in line] == [None, *(each.id for each in line)][: len(line)]
            nights = [each.firing_id for each in verdicts if each.kind is VerdictKind.NIGHT]
            assert len(set(nights)) == len(nights), "a night has one verdict"
            promoted = sum(each.promoted and each.kind is VerdictKind.NIGHT for each in verdicts)
            assert promoted <= sum(firing.state is FiringState.PROMOTED for firing in firings)
            return told, [(each.kind, each.promoted, dict(each.slice)) for each in verdicts]

        self.both(story)


def is_at_work(firing: Firing, studies: list[StudyRecord]) -> bool:
    stage = WORKING[firing.state]
    return any(study.stage is stage and study.state not in CLOSED for study in studies)


def answer(ask: Callable[[Store], Any], store: Store) -> Any:
    """The answer, or the kind of the error."""
    try:
        return ask(store)
    except CeleriacError as error:
        return type(error)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_stores_have_the_same_nights(store: Store, database: str) -> None:
    with postgres_subject(store, database) as on_postgres:

        class Both(Nights):
            subjects = (memory_subject(), on_postgres)

        run_state_machine_as_test(Both)
