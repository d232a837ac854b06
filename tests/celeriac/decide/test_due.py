"""When schedules are due: time zones, clock changes and outages."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.decide.calendar import SlicePlan
from celeriac.decide.cron import next_due
from celeriac.decide.due import MOST_COUNTED, due, due_slice, in_turn
from celeriac.domain.records import FiringOpen, SliceDue
from celeriac.domain.study_file import Blackout

BERLIN = "Europe/Berlin"


AT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NIGHTLY = SlicePlan("0 3 * * *", "UTC")


def firing_open(due_at: datetime, *, ended_at: datetime | None = None) -> FiringOpen:
    return FiringOpen(7, "flights/2026-11-23", {}, due_at, ended_at)


def local(*parts: int, fold: int = 0, zone: str = BERLIN) -> datetime:
    year, month, day, hour, minute = parts
    return datetime(year, month, day, hour, minute, tzinfo=ZoneInfo(zone), fold=fold)


def firings(cron: str, after: datetime, count: int, zone: str = BERLIN) -> list[str]:
    found = []
    for _ in range(count):
        after = next_due(cron, zone, after)
        found.append(f"{after.astimezone(ZoneInfo(zone)):%d %H:%M}")
    return found


def test_a_time_is_local_and_the_answer_is_utc() -> None:
    at = next_due("0 3 * * *", BERLIN, datetime(2026, 11, 24, 0, 0, tzinfo=UTC))
    assert at == datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    assert at.tzinfo is UTC


def test_a_firing_is_strictly_later() -> None:
    at = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
    assert next_due("0 3 * * *", BERLIN, at) == at + timedelta(days=1)


def test_in_the_skipped_hour_it_fires_at_the_first_minute_that_exists() -> None:
    # Berlin skips 2026-03-29 02:00-03:00.
    assert firings("30 2 * * *", local(2026, 3, 28, 12, 0), 2) == ["29 03:00", "30 02:30"]


def test_in_the_hour_that_comes_twice_it_fires_once() -> None:
    # Berlin repeats 2026-10-25 02:00-03:00.
    assert firings("30 2 * * *", local(2026, 10, 24, 12, 0), 2) == ["25 02:30", "26 02:30"]
    first = next_due("30 2 * * *", BERLIN, local(2026, 10, 24, 12, 0))
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_asked_between_the_two_passes_of_an_hour_it_does_not_look_back() -> None:
    asked = local(2026, 10, 25, 2, 15, fold=1)
    assert next_due("30 2 * * *", BERLIN, asked) > asked


def test_an_hourly_firing_follows_real_time_through_both_changes() -> None:
    assert firings("0 * * * *", local(2026, 3, 29, 0, 30), 3) == ["29 01:00", "29 03:00", "29 04:00"]
    assert firings("0 * * * *", local(2026, 10, 25, 1, 30), 3) == ["25 02:00", "25 02:00", "25 03:00"]


def test_what_is_not_due_waits() -> None:
    at = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    decision = due(SlicePlan("0 3 * * *", "UTC"), at, at - timedelta(seconds=1))
    assert (decision.fire_at, decision.next_at, decision.skipped) == (None, at, 0)


def test_what_is_due_fires_and_moves_on() -> None:
    at = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    decision = due(SlicePlan("0 3 * * *", "UTC"), at, at)
    assert (decision.fire_at, decision.next_at, decision.skipped) == (at, at + timedelta(days=1), 0)


def test_after_an_outage_only_the_latest_missed_firing_is_made() -> None:
    at = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
    decision = due(SlicePlan("0 3 * * *", "UTC"), at, datetime(2026, 11, 24, 12, 0, tzinfo=UTC))
    assert decision.fire_at == datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
    assert decision.next_at == datetime(2026, 11, 25, 3, 0, tzinfo=UTC)
    assert decision.skipped == 4
    assert "4 earlier firings were missed" in decision.reason


def test_a_year_of_missed_minutes_is_decided_at_once() -> None:
    now = datetime(2026, 11, 24, 12, 0, 30, tzinfo=UTC)
    decision = due(SlicePlan("* * * * *", "UTC"), now - timedelta(days=365), now)
    assert decision.fire_at == datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    assert decision.next_at == datetime(2026, 11, 24, 12, 1, tzinfo=UTC)
    assert decision.skipped == MOST_COUNTED


def test_many_missed_minutes_of_one_hour_a_year_ago_find_the_last_of_them() -> None:
    first = datetime(2025, 1, 1, 0, 0, tzinfo=UTC)
    decision = due(SlicePlan("* * 1-3 1 *", "UTC"), first, datetime(2025, 11, 1, tzinfo=UTC))
    assert decision.fire_at == datetime(2025, 1, 3, 23, 59, tzinfo=UTC)
    assert decision.next_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_a_cron_that_never_comes_says_so() -> None:
    with pytest.raises(ValueError, match="Bad day-of-month"):
        next_due("0 0 31 2 *", "UTC", datetime(2026, 1, 1, tzinfo=UTC))


def test_a_time_zone_that_is_none_says_so() -> None:
    with pytest.raises(ValueError, match="Europe/Atlantis"):
        next_due("0 0 * * *", "Europe/Atlantis", datetime(2026, 1, 1, tzinfo=UTC))


def test_what_catch_up_says_of_missed_firings() -> None:
    now = AT + 3 * DAY + HOUR
    one, skip, every = (due(replace(NIGHTLY, catch_up=rule), AT, now) for rule in ("one", "skip", "all"))
    assert (one.fire_at, one.next_at, one.skipped) == (AT + 3 * DAY, AT + 4 * DAY, 3)
    assert (skip.fire_at, skip.next_at, skip.skipped) == (None, AT + 4 * DAY, 4)
    assert skip.reason == "4 firings were missed and skipped"
    assert (every.fire_at, every.next_at, every.skipped) == (AT, AT + DAY, 0)


def test_skip_makes_what_is_found_on_time_all_the_same() -> None:
    plan = replace(NIGHTLY, catch_up="skip")
    on_time = due(plan, AT, AT + 2 * DAY + 15 * MINUTE)
    assert (on_time.fire_at, on_time.skipped) == (AT + 2 * DAY, 2)
    assert due(plan, AT, AT + timedelta(seconds=901)).fire_at is None


def test_a_queued_firing_is_late_only_from_the_end_of_the_one_before() -> None:
    plan = replace(NIGHTLY, catch_up="skip", overlap="queue")
    late = AT + 5 * HOUR
    assert due(plan, AT, late, running=firing_open(AT - DAY)).next_at == AT
    assert due(plan, AT, late, freed_at=late - MINUTE).fire_at == AT
    assert due(plan, AT, late, freed_at=late - HOUR).fire_at is None
    assert due(replace(plan, overlap="allow"), AT, late, freed_at=late - MINUTE).fire_at is None


def test_a_firing_that_was_begun_is_finished_whatever_catch_up_says() -> None:
    for rule in ("one", "skip", "all"):
        decision = due(replace(NIGHTLY, catch_up=rule), AT, AT + 3 * DAY, begun=True)
        assert (decision.fire_at, decision.next_at) == (AT, AT + DAY)


def test_a_slice_whose_own_firing_was_open_begins_with_the_others_only_where_firings_may_overlap() -> None:
    """An hour late, with `catch_up: skip`: made where it was interrupted, missed where it had to wait."""
    mine, others = {"airport": "JFK"}, {"airport": "LGA"}
    minded = [replace(firing_open(AT - DAY), slice=mine), replace(firing_open(AT), slice=others)]
    each, late = SliceDue("flights", mine, AT), AT + HOUR
    plan = replace(NIGHTLY, catch_up="skip")
    assert due_slice(plan, each, late, minded).fire_at == AT
    assert due_slice(replace(plan, overlap="cancel"), each, late, minded).fire_at is None
    ended = [replace(minded[0], ended_at=AT - HOUR), minded[1]]
    assert due_slice(replace(plan, overlap="cancel"), each, late, ended).fire_at == AT
    assert due_slice(plan, each, late, minded[:1]).fire_at is None, "the others have none for that time"


def test_a_day_has_the_due_time_that_lies_on_it_or_its_midnight() -> None:
    day = datetime(2026, 11, 24, tzinfo=UTC)
    assert NIGHTLY.first_on(day) == AT
    assert replace(NIGHTLY, cron="0 0 25 * *").first_on(day) == day, "the next day's midnight is not on it"
    assert replace(NIGHTLY, cron="0 0 24 * *").first_on(day) == day


def test_the_nights_of_some_days_are_those_before_a_moment_and_in_no_blackout() -> None:
    first, last = AT.date(), (AT + 3 * DAY).date()
    plan = replace(NIGHTLY, blackout=(Blackout("2026-11-25", "2026-11-25"),))
    assert plan.nights(first, last, AT + 9 * DAY) == [AT, AT + 2 * DAY, AT + 3 * DAY]
    assert plan.nights(first, last, AT + 3 * DAY) == [AT, AT + 2 * DAY]


def test_a_firing_due_in_a_blackout_is_passed_over_with_its_reason() -> None:
    plan = replace(NIGHTLY, blackout=(Blackout("2026-11-24", "2026-11-25", (), "moving"),))
    decision = due(plan, AT, AT + MINUTE)
    assert (decision.fire_at, decision.next_at) == (None, AT + DAY)
    assert decision.reason == "1 fell in a blackout (2026-11-24 to 2026-11-25 (moving))"
    after = due(plan, AT, AT + 2 * DAY)
    assert (after.fire_at, after.skipped) == (AT + 2 * DAY, 2)
    assert "2 earlier fell in a blackout" in after.reason
    one_day = replace(NIGHTLY, blackout=(Blackout("2026-11-24", "2026-11-24"),))
    before = due(one_day, AT - DAY, AT + 22 * HOUR)
    assert (before.fire_at, before.next_at, before.skipped) == (AT - DAY, AT + DAY, 1), "it is passed over once"
    every = due(replace(plan, catch_up="all"), AT, AT + 3 * DAY)
    assert (every.fire_at, every.next_at) == (AT + 2 * DAY, AT + 3 * DAY)


def test_a_firing_that_is_late_waits_for_the_end_of_a_blackout() -> None:
    plan = replace(NIGHTLY, blackout=(Blackout("08:00", "18:00"),))
    for hours, fires in ((0, True), (5, False), (14, False), (15, True)):
        decision = due(plan, AT, AT + hours * HOUR)
        assert (decision.fire_at == AT) is fires
        assert decision.next_at == (AT + DAY if fires else AT)


def test_jitter_moves_the_beginning_and_not_the_due_time() -> None:
    plan = replace(NIGHTLY, offset_s=600.0)
    assert due(plan, AT, AT + timedelta(seconds=599)).fire_at is None
    decision = due(plan, AT, AT + timedelta(seconds=600))
    assert (decision.fire_at, decision.next_at, decision.skipped) == (AT, AT + DAY, 0)


def test_past_its_deadline_a_firing_is_missed() -> None:
    plan = replace(NIGHTLY, deadline="06:00", timezone=BERLIN, cron="0 4 * * *")
    assert due(plan, AT, AT + 2 * HOUR - MINUTE).fire_at == AT
    missed = due(plan, AT, AT + 2 * HOUR)
    assert (missed.fire_at, missed.next_at, missed.skipped) == (None, AT + DAY, 1)
    assert missed.reason == "the firing of 2026-11-24 04:00 was missed: its deadline 2026-11-24 06:00 was over"


@pytest.mark.parametrize(
    ("overlap", "fires", "goes_on", "cancels", "says"),
    [
        ("allow", True, True, None, "due"),
        ("skip", False, True, None, "the firing of 2026-11-24 03:00 was skipped: flights/2026-11-23 was still open"),
        ("queue", False, False, None, "waits until flights/2026-11-23 has ended"),
        ("cancel", True, True, 7, "due; flights/2026-11-23 was still open and is ended"),
    ],
)
def test_what_overlap_says_while_the_firing_before_is_open(
    overlap: str, fires: bool, goes_on: bool, cancels: int | None, says: str
) -> None:
    plan = replace(NIGHTLY, overlap=overlap)
    decision = due(plan, AT, AT, running=firing_open(AT - DAY))
    assert (decision.fire_at == AT, decision.next_at == AT + DAY) == (fires, goes_on)
    assert (decision.cancels, decision.reason) == (cancels, says)
    assert due(plan, AT, AT).fire_at == AT


def test_a_firing_that_is_made_already_never_ends_itself() -> None:
    for overlap in ("cancel", "queue"):
        decision = due(replace(NIGHTLY, overlap=overlap), AT, AT, made={AT}, running=firing_open(AT))
        assert (decision.fire_at, decision.next_at, decision.cancels) == (None, AT + DAY, None)


ZONES = st.sampled_from(
    ["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "Africa/Casablanca"]
)
CRONS = st.one_of(
    st.builds(lambda m, h: f"{m} {h} * * *", st.integers(0, 59), st.integers(0, 23)),
    st.sampled_from(["*/15 * * * *", "0 * * * *", "30 1,2,3 * * *", "0 2 * * mon-fri", "15 2 1 * *"]),
)
MOMENTS = st.integers(0, 2 * 365 * 86_400).map(lambda s: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=s))


@given(cron=CRONS, zone=ZONES, start=MOMENTS)
def test_due_times_grow_and_are_where_the_cron_says_on_the_local_clock(cron: str, zone: str, start: datetime) -> None:
    minute, hour = cron.split()[:2]
    before = start
    for _ in range(5):
        at = next_due(cron, zone, before)
        assert at > before
        shown = at.astimezone(ZoneInfo(zone))
        if minute.isdigit() and hour.isdigit():
            wanted = shown.replace(hour=int(hour), minute=int(minute), tzinfo=None)
            exists = wanted.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).astimezone(ZoneInfo(zone))
            assert shown.replace(tzinfo=None) == wanted or exists.replace(tzinfo=None) != wanted, "in a gap"
        before = at


@given(
    cron=CRONS,
    zone=ZONES,
    start=MOMENTS,
    looks=st.lists(st.integers(1, 3 * 86_400), min_size=1, max_size=15),
    catch_up=st.sampled_from(["one", "all", "skip"]),
    overlap=st.sampled_from(["allow", "skip", "queue", "cancel"]),
    offset_s=st.integers(0, 800),
    blackout=st.sampled_from([(), (Blackout(days=("sat", "sun")),), (Blackout("01:30", "02:30"),)]),
    ends_after=st.integers(1, 2 * 86_400),
)
def test_however_the_clock_is_looked_at_each_due_time_is_made_at_most_once_and_none_is_lost(
    cron: str,
    zone: str,
    start: datetime,
    looks: list[int],
    catch_up: str,
    overlap: str,
    offset_s: int,
    blackout: tuple[Blackout, ...],
    ends_after: int,
) -> None:
    plan = SlicePlan(cron, zone, catch_up, overlap, blackout, float(offset_s))
    at = first = plan.next_after(start)
    made: list[datetime] = []
    running: FiringOpen | None = None
    now, passed = start, 0
    for step in looks:
        now += timedelta(seconds=step)
        if running is not None and now - running.due_at > timedelta(seconds=ends_after):
            running = None
        decision = due(plan, at, now, made=set(made), running=running)
        if decision.fire_at is not None:
            assert first <= decision.fire_at <= now
            assert plan.begins_at(decision.fire_at) <= now
            assert plan.blackout_at(decision.fire_at) is None
            assert plan.blackout_at(now) is None
            made.append(decision.fire_at)
            running = firing_open(decision.fire_at)
        if decision.next_at != at:
            passed += decision.skipped
        assert decision.next_at >= at
        assert decision.next_at > now - timedelta(seconds=offset_s) or catch_up == "all" or decision.next_at == at
        at = decision.next_at
    assert made == sorted(set(made))
    between, each = 0, first
    while each < at and between < MOST_COUNTED:
        between, each = between + 1, plan.next_after(each)
    assert between >= MOST_COUNTED or between == len(made) + passed, "each due time was made or passed over"


def test_of_slices_that_are_due_together_another_one_comes_first_each_night() -> None:
    names = [f"s{k:02}" for k in range(40)]
    places: dict[str, list[int]] = {name: [] for name in names}
    for night in range(30):
        at = datetime(2026, 11, 1, 3, 0, tzinfo=UTC) + timedelta(days=night)
        dues = [SliceDue("nights", {"s": name}, at) for name in names]
        order = [str(each.slice["s"]) for each in in_turn(dues)]
        assert order == [str(each.slice["s"]) for each in in_turn(dues[::-1])]
        for place, name in enumerate(order):
            places[name].append(place)
    means = [sum(each) / len(each) for each in places.values()]
    assert max(means) < 1.5 * 19.5, "the mean place of 40"
    early = SliceDue("nights", {"s": "late in the alphabet"}, datetime(2026, 11, 1, 2, 0, tzinfo=UTC))
    assert in_turn([SliceDue("nights", {"s": "a"}, datetime(2026, 11, 1, 3, 0, tzinfo=UTC)), early])[0] is early
