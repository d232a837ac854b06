"""What each study is owed of the fleet, in device-seconds, and by how many of its trials it is behind."""

from celeriac.decide.credit import Account, Lengths, settled, trials_behind
from tests.celeriac.decide.test_share import claim


def test_who_holds_more_is_charged_more() -> None:
    wide, narrow = (claim(k, gpus=gpus, running=1, finished=10, ran_s=100.0) for k, gpus in enumerate((4, 1)))
    level = {0: Account(10), 1: Account(10)}
    behind = trials_behind(settled(level, [wide, narrow]), [wide, narrow])
    owed = settled(level, [wide, narrow])
    assert (owed[0].owed_s, owed[1].owed_s) == (-15.0, 15.0)
    assert (behind[0], behind[1]) == (-15.0 / 40, 1.5)


def test_nobody_is_owed_more_than_sixteen_trials_or_owes_more_than_eight_for_each_slot_that_it_has() -> None:
    claims = [claim(k, running=2, finished=10, ran_s=100.0) for k in range(2)]
    after = settled({0: Account(12 - 1000), 1: Account(12)}, claims)
    assert (after[0].owed_s, after[1].owed_s) == (-8 * 2 * 10.0, 16 * 2 * 10.0)
    idle = [claim(k, finished=10, ran_s=100.0) for k in range(2)]
    after = settled({0: Account(10 - 1000), 1: Account(10)}, idle)
    assert (after[0].owed_s, after[1].owed_s) == (-80.0, 160.0)


def test_all_together_are_owed_nothing_whatever_bounds_have_cut_off() -> None:
    claims = [claim(k, running=1, finished=10, ran_s=100.0) for k in range(2)]
    after = settled({0: Account(11, 30.0), 1: Account(11)}, claims)
    assert [each.owed_s for each in after.values()] == [15.0, -15.0]


def test_nobody_is_charged_before_a_trial_is_finished() -> None:
    began = [claim(k, running=3) for k in range(2)]
    assert settled({0: Account(0, 5.0)}, began) == {0: Account(0, 5.0), 1: Account(3)}


def test_trials_take_about_as_long_within_a_factor_that_is_wider_while_few_are_finished() -> None:
    usual = claim(0, finished=1, ran_s=10.0)
    for finished, length_s in ((1, 30.0), (100, 50.0)):  # within 6, and within 2.4
        longer = claim(1, finished=finished, ran_s=finished * 50.0)
        assert Lengths([usual, longer]).of(longer) == length_s
