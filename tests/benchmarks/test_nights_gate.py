"""The gate's bench: which figure is judged, and by which noise."""

import copy

from benchmarks.nights.gate import NOISES, _cells, _figures, _share, broken

NIGHTS = 40


def found(**hits: int) -> dict[tuple[str, str], dict[str, float]]:
    """Every cell's figures: 2 % of the equal ones promoted, 90 % of the better ones, at 5 pairs."""
    return {
        (kind, name): _share(hits.get(f"{kind} {name}", 36 if "power" in (kind, name) else 0), NIGHTS, 5.0)
        for kind, name in _cells(NIGHTS)
    }


def test_the_bars_are_judged_by_the_worst_noise() -> None:
    figures = _figures(NIGHTS, found(**{"power flights": 28, "power normal": 34}))
    assert figures["power"] == 28 / NIGHTS
    assert [text for text in broken(figures) if "power" in text] == ["flights: power 0.700 is below 0.8"]
    assert set(figures["detail"]["false"]) == set(NOISES)


def test_each_noise_and_each_share_is_judged_for_false_promotions() -> None:
    good = _figures(4000, {cell: each | {"upper": 0.055} for cell, each in found().items()})
    assert broken(good) == []
    for name in NOISES:
        for shared in ("0", "0.25", "0.5"):
            bad = copy.deepcopy(good)
            bad["detail"]["false"][name][shared] = _share(4, NIGHTS, 5.0)
            assert len(broken(bad)) == 1
            assert broken(bad)[0].startswith(f"{name}, shared {shared}: 0.100")
