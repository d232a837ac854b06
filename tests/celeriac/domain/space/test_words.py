"""Words of messages: the nearest known one, or all of them."""

from celeriac.domain.space import nearest


def test_nearest_offers_a_word_or_all() -> None:
    assert nearest("max", ["maximize", "minimize"]) == "did you mean 'maximize'?"
    assert nearest("zzz", ["a", "b"]) == "known: a, b"
    assert nearest("zzz", []) == "known: none"
