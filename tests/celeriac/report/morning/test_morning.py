"""The morning after whole nights on the memory store: every figure is held to the rows that it was made of."""

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from celeriac.decide.calendar import calendar_of, plan_of
from celeriac.decide.firing import firing_of
from celeriac.domain.errors import CallerError
from celeriac.domain.records import FiringState, Lease, Savings, StudyState
from celeriac.report.morning import Morning, SliceMorning, last_mornings, read_morning
from celeriac.report.morning.charts import charts, gains
from celeriac.report.morning.lines import lines
from celeriac.report.morning.page import page
from celeriac.report.morning.table import COST, HEAD, table_lines, table_rows
from celeriac.report.plain import plain
from celeriac.store.api import AttemptEnd
from celeriac.store.firing import fire as store_fire
from coordinator.schedules import fire_due
from tests.coordinator.house import House
from tests.coordinator.nightlife import by_lr, failed, put_schedule, with_spec, work

JFK, LGA = {"airport": "JFK"}, {"airport": "LGA"}
DAY_S = 86_400.0


def house_of(*slices: dict[str, str], **keys: object) -> House:
    house = House(slots=2)
    put_schedule(house, slices=slices, **keys)
    return house


def night(house: House, train: Callable[[Lease], AttemptEnd], *, seed: int = 7, lasts_s: float = 60.0) -> Morning:
    """One night, until nothing more happens, and its morning; then it is the next day."""
    house.store.put_schedule(with_spec(house.store.schedule("flights"), seed=seed))
    fire_due(house.store, house.mailbox)
    house.wait(lasts_s)
    work(house, train)
    morning = read_morning(house.store, "flights")
    assert morning is not None
    house.wait(DAY_S - lasts_s)
    return morning


def by_airport(**gains: float) -> Callable[[Lease], AttemptEnd]:
    """A training whose gain over the default is another in each slice."""
    trains = {airport: by_lr(gain) for airport, gain in gains.items()}
    return lambda lease: trains[lease.slice["airport"]](lease)


def only(morning: Morning, slice_: dict[str, str] = JFK) -> SliceMorning:
    return next(each for each in morning.slices if each.slice == slice_)


def test_a_promotion_shows_both_champions_the_test_and_what_it_cost() -> None:
    house = house_of(JFK)
    first = only(night(house, by_lr(0.1)))
    assert (first.state, first.before) == (FiringState.PROMOTED, None)
    [champion] = house.store.champions("flights")
    assert first.after is not None
    assert (first.after.id, first.after.params) == (champion.id, champion.params)
    assert first.test is not None
    said = champion.evidence["gate"]["said"]
    assert first.test.interval is not None
    assert (first.test.gain, list(first.test.interval), first.test.p) == (said["gain"], said["interval"], said["p"])
    assert first.test.gain == pytest.approx(first.test.before - first.test.after)  # a loss: less is better
    studies = house.store.stage_studies([house.store.firings("flights")[0].id])
    assert first.device_s == {str(each.stage): each.device_s for each in studies}
    assert first.trials == {"search": 4, "confirm": 2 * first.test.pairs}
    second = only(night(house, by_lr(0.1), seed=8))
    assert (second.before, second.changed) == (first.after, {})


def test_a_change_names_the_parameters_that_differ() -> None:
    house = house_of(JFK, always=True)
    night(house, by_lr(0.1))
    old = only(read_again(house)).after
    assert old is not None

    def better_than_old(lease: Lease) -> AttemptEnd:
        return by_lr(0.1 if lease.params == old.params else 0.3)(lease)

    second = only(night(house, better_than_old, seed=9))
    assert second.state is FiringState.PROMOTED
    assert second.before is not None
    assert second.after is not None
    assert (second.before.id, second.after.params) == (old.id, house.store.champions("flights")[0].params)
    names = {*old.params, *second.after.params}
    assert second.changed == {
        name: (old.params.get(name), second.after.params.get(name))
        for name in names
        if old.params.get(name) != second.after.params.get(name)
    }
    # The first night still shows what it changed, though the slice has another champion by now.
    first = read_morning(house.store, "flights", "2026-11-24")
    assert first is not None
    assert only(first).after == old


def read_again(house: House) -> Morning:
    found = read_morning(house.store, "flights")
    assert found is not None
    return found


def test_a_night_that_skips_saved_what_full_nights_cost_on_average() -> None:
    house = house_of(JFK)
    mornings = [only(night(house, by_lr(0.1), seed=k)) for k in range(8)]
    skipped = next(k for k, each in enumerate(mornings) if each.state is FiringState.SKIPPED)
    full = [each.used_s for each in mornings[:skipped] if "search" in each.trials]
    assert mornings[skipped].used_s == 1.0  # the look
    assert mornings[skipped].saved_s == pytest.approx(sum(full) / len(full) - 1.0)
    assert [each.saved_s for each in mornings[:skipped]] == [0.0] * skipped
    looks = mornings[skipped].looks
    assert len(looks) == skipped + 1
    assert [each.promoted for each in looks] == [True] + [False] * skipped


def test_many_nights_are_one_table_with_the_holdout_of_each_and_what_they_cost() -> None:
    house = house_of(JFK, always=True)
    first, second = only(night(house, by_lr(0.1))), only(night(house, by_lr(0.1), seed=8))
    assert first.test is not None
    assert (first.holdout.default, first.holdout.champion) == (first.test.before, None)
    assert first.holdout.challenger == first.test.after
    search = next(each for each in house.store.studies() if each.name == second.firing)
    default = house.store.trial(search.id, 0)
    assert second.holdout.default == pytest.approx(sum(default.holdout) / len(default.holdout))
    if second.test is not None:
        assert (second.holdout.champion, second.holdout.challenger) == (second.test.before, second.test.after)
    mornings = list(last_mornings(house.store, "flights", 5))
    assert [each.night for each in mornings] == ["2026-11-24", "2026-11-25"]
    assert [each.night for each in last_mornings(house.store, "flights", 1)] == ["2026-11-25"]
    rows = table_rows(mornings)
    assert all(len(row) == len(HEAD + COST) for row in rows)
    assert rows[0][:6] == (
        *("2026-11-24", "airport=JFK", "PROMOTED", f"{first.test.before:#.4g}", "-"),
        f"{first.test.after:#.4g}",
    )
    hours = (first.used_s + second.used_s) / 3600
    assert (
        f"{sum(each.trials for each in mornings)} trials, {hours:.3f} device-hours spent"
        in list(table_lines(mornings))[-1]
    )


def test_a_night_that_only_looked_shows_the_champions_holdout_alone() -> None:
    house = house_of(JFK)
    mornings = [only(night(house, by_lr(0.1), seed=k)) for k in range(8)]
    skipped = next(each for each in mornings if each.state is FiringState.SKIPPED)
    assert (skipped.holdout.default, skipped.holdout.challenger) == (None, None)
    look = house.store.trial(next(s.id for s in house.store.studies() if s.name == f"{skipped.firing}/look"), 0)
    assert skipped.holdout.champion == pytest.approx(sum(look.holdout) / len(look.holdout))


def test_a_failure_and_its_faults_are_what_a_person_should_look_at() -> None:
    house = house_of(JFK, LGA)
    good, bad = by_lr(0.1), failed()
    morning = night(house, lambda lease: bad if lease.slice == LGA else good(lease))
    assert not morning.is_over
    [note] = morning.attention
    assert (note.slice, note.kind) == (LGA, "paused")
    assert note.command.startswith("celeriac resume flights/airport=LGA/")
    assert only(morning, LGA).faults == {"user_bug": 3} == morning.faults
    study = house.store.stage_studies([house.store.firings("flights", slice_=LGA)[0].id])[0]
    assert study.state is StudyState.PAUSED
    told = "\n".join(lines(morning))
    assert "not over yet" in told
    assert "3 faults: 3 user bug" in told


def test_what_waits_for_approval_says_how_to_answer() -> None:
    morning = night(house_of(JFK, gate={"require_approval": True}), by_lr(0.1))
    [note] = morning.attention
    assert (note.kind, note.command) == ("approval", "celeriac approve flights airport=JFK")
    assert only(morning).state is FiringState.KEPT


def test_a_champion_far_worse_than_ever_is_to_be_looked_at_once_also_where_it_is_new() -> None:
    house, usual = house_of(JFK), by_lr(0.1)
    assert [night(house, usual).attention for _ in range(4)] == [()] * 4

    def worse(lease: Lease, less: float = 0.0) -> AttemptEnd:
        end, known = usual(lease), [each.params for each in house.store.champions("flights")]
        change = 1.0 if lease.params in known else 1.0 - less
        assert end.score is not None
        return replace(end, score=end.score + change, holdout=tuple(each + change for each in end.holdout))

    morning = night(house, worse)
    [note] = morning.attention
    assert (note.kind, note.command) == ("fell", "celeriac schedule show flights --slice airport=JFK")
    *earlier, tonight = (each.score for each in only(morning).looks)
    assert note.what.startswith(f"the champion scores {tonight:.6g}, and {max(earlier):.6g} was the worst before:")
    assert night(house, worse).attention == (), "a person was told; that is the level now"
    house = house_of(JFK)
    assert [night(house, usual, seed=k).attention for k in range(4)] == [()] * 4
    morning = night(house, lambda lease: worse(lease, 0.3), seed=9)
    assert only(morning).state is FiringState.PROMOTED
    assert morning.attention[0].what.startswith("the new champion scores 1.")


def test_a_promotion_that_did_not_come_through_is_to_be_looked_at() -> None:
    house = house_of(JFK)
    assert night(house, by_lr(0.1)).attention == ()
    [due] = house.store.due_deliveries()
    number = house.store.claim_delivery(due.id, 60)
    house.store.end_delivery(due.id, number, "the disk is full", 600.0)
    [note] = read_again(house).attention
    assert (note.kind, "the disk is full" in note.what) == ("publish", True)


def test_a_morning_that_was_not_sent_is_to_be_looked_at() -> None:
    house = house_of(JFK, morning={"url": "http://127.0.0.1:9/"})
    assert night(house, by_lr(0.1)).attention == ()
    [due] = [each for each in house.store.due_deliveries() if each.night]
    house.store.end_delivery(due.id, house.store.claim_delivery(due.id, 60), "no answer", 600.0)
    [note] = read_again(house).attention
    assert (note.kind, note.slice, note.command) == ("morning", {}, "celeriac schedule show flights")
    assert note.what == f"the morning of {due.night} is not sent after 1 tries: no answer"


@pytest.mark.parametrize(("lasts_s", "deadline"), [(3600.0, "met"), (4 * 3600.0, "late")])
def test_a_deadline_is_met_or_late_by_the_firing_s_end(lasts_s: float, deadline: str) -> None:
    morning = night(house_of(JFK, deadline="06:00"), by_lr(0.1), lasts_s=lasts_s)
    found = only(morning)
    assert (found.deadline, found.margin_s) == (deadline, 3 * 3600.0 - lasts_s)
    assert ["deadline"] * (deadline == "late") == [each.kind for each in morning.attention]


def test_a_night_that_is_made_up_for_after_its_deadline_had_none() -> None:
    house = house_of(JFK, deadline="06:00")
    house.wait(10 * 3600)
    [due] = house.store.slice_dues("flights")
    row = house.store.schedule("flights")
    plan = plan_of(calendar_of(row), due.slice)
    store_fire(house.store, due.next_due_at, firing_of(row, plan, due.slice, due.next_due_at))
    work(house, by_lr(0.1))
    morning = read_again(house)
    assert (only(morning).deadline, only(morning).margin_s, morning.attention) == ("", None, ())
    assert not any("deadline" in line for line in lines(morning))


def test_a_night_is_the_newest_or_the_one_that_is_named() -> None:
    house = house_of(JFK)
    assert read_morning(house.store, "flights") is None
    first = night(house, by_lr(0.1))
    night(house, by_lr(0.1), seed=8)
    assert read_again(house).night == "2026-11-25"
    again = read_morning(house.store, "flights", "2026-11-24")
    assert again is not None
    assert (again.night, again.slices[0].test) == ("2026-11-24", first.slices[0].test)
    with pytest.raises(CallerError, match="had no night '2026-01-01'; its newest: 2026-11-25, 2026-11-24"):
        read_morning(house.store, "flights", "2026-01-01")


def test_a_slice_that_this_night_has_yet_to_fire_keeps_it_open() -> None:
    house = house_of(JFK, LGA)
    morning = night(house, by_lr(0.1))
    assert (morning.is_over, morning.to_come) == (True, ())
    for each in house.store.slice_dues("flights"):
        if each.slice == LGA:
            house.store.advance_slice(each, each.next_due_at.replace(day=24, hour=20))
    again = read_again(house)
    assert (again.is_over, [slice_ for slice_, _ in again.to_come]) == (False, [LGA])


def test_the_json_is_the_morning_s_own() -> None:
    morning = night(house_of(JFK), by_lr(0.1))
    told = json.loads(json.dumps(plain(morning)))
    assert told["slices"][0]["test"]["gain"] == morning.slices[0].test.gain  # type: ignore[union-attr]
    assert told["states"] == {"PROMOTED": 1}


def test_the_page_is_whole_in_itself_and_safe() -> None:
    house = house_of(JFK, LGA)
    morning = night(house, by_airport(JFK=0.1, LGA=0.0))
    spiteful = replace(
        morning, slices=tuple(replace(each, reason="<script>alert(1)</script>") for each in morning.slices)
    )
    text = page(spiteful)
    assert re.findall(r'(?:src|href)\s*=\s*"?(?!data:)[^"\s>]+', text) == []
    assert "url(" not in text
    assert "@import" not in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert text.count("data:image/svg+xml;base64,") == len(charts(morning)) == 2
    for each in morning.slices:
        assert each.slice["airport"] in text


def test_the_gains_are_drawn_with_their_intervals() -> None:
    morning = night(house_of(JFK, LGA), by_airport(JFK=0.1, LGA=0.0))
    chart = gains(morning)
    assert chart.spec is not None
    rows = {row["slice"]: row for row in chart.spec["data"]["values"]}
    tested = [each for each in morning.slices if each.test is not None]
    assert tested
    for each in tested:
        assert each.test is not None
        assert rows[f"airport={each.slice['airport']}"]["gain"] == pytest.approx(each.test.gain, rel=1e-5)
        assert each.test.interval is None or rows[f"airport={each.slice['airport']}"]["low"] == pytest.approx(
            each.test.interval[0], rel=1e-5
        )
    none = replace(morning, slices=tuple(replace(each, test=None) for each in morning.slices))
    assert gains(none).reason == "no challenger was tested"


def test_what_early_stopping_spared_is_told() -> None:
    morning = night(house_of(JFK), by_lr(0.1))
    spared = replace(morning.slices[0], spared=Savings(2, 30, 120.0))
    told = "\n".join(lines(replace(morning, slices=(spared,))))
    assert "2m 00s spared by early stopping" in told
