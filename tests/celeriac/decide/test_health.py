"""Which devices are sick."""

from celeriac.decide.health import Condition, HealthDecision, health

WELL = HealthDecision()


def test_what_does_not_answer_or_has_errors_or_is_hot_is_sick() -> None:
    assert not health(Condition(1), WELL).is_sick
    assert not health(Condition(1, temperature_c=80, limit_c=90, ecc_errors=0), WELL).is_sick
    assert health(None, WELL).reason == "lost: its driver does not answer for it"
    assert "2 memory errors" in health(Condition(1, ecc_errors=2), WELL).reason
    assert health(Condition(1, temperature_c=90, limit_c=90), WELL).is_sick


def test_one_that_was_hot_comes_back_when_it_is_clearly_cooler() -> None:
    sick = health(Condition(1, temperature_c=91, limit_c=90), WELL)
    assert health(Condition(1, temperature_c=85, limit_c=90), sick).is_sick
    assert not health(Condition(1, temperature_c=79, limit_c=90), sick).is_sick
