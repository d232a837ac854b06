"""How many configurations there are: exact with conditions, without walking through them."""

from hypothesis import assume, given

from celeriac.domain.space import Choice, Float, Int, Parameter, Space
from tests.celeriac.domain.space.spaces import many, spaces


def test_cardinality_counts_conditional_spaces_exactly() -> None:
    space = Space(
        {
            "kind": Choice(("a", "b", "c")),
            "n": Int(1, 1000),
            "big": Choice((1, 2), when={"n": [10, 20]}),
            "deep": Int(0, 4, when={"kind": ["a", "b"], "big": 2}),
        }
    )
    # n: 998 values without big; for 2 values, big=1 and (big=2 with 5 deep for kinds a and b, 1 for c)
    assert space.cardinality() == 998 * 3 + 2 * (3 + 5 + 5 + 1)
    assert space.cardinality() == sum(1 for _ in space.grid())
    never = Choice(("x",), when={"kind": "a"})
    unreachable = Space({"kind": Choice(("a", "b")), "k2": never, "f": Float(0, 1, when={"k2": "x", "kind": "b"})})
    assert unreachable.cardinality() == 2  # a continuous parameter that no configuration has does not count


def test_many_conditional_families_are_counted_without_walking_their_product() -> None:
    families: dict[str, Parameter] = {}
    for i in range(50):
        families[f"parent{i}"] = Choice(("on", "off"))
        families[f"child{i}"] = Int(1, 10, when={f"parent{i}": "on"})
    assert Space(families).cardinality() == 11**50


def test_conditions_on_many_parents_hold_nobody_up() -> None:
    """The first has 2**40 branches, each step of the second's looks at 100 conditions; a coordinator that counted them
    would drive no study any more.
    """
    parents = {f"p{i}": Choice((0, 1)) for i in range(40)}
    assert Space({**parents, "child": Choice((0, 1), when=dict.fromkeys(parents, 0))}).cardinality() is None
    more = {f"p{i}": Choice((0, 1)) for i in range(100)}
    children = {f"q{i}": Choice((0, 1), when={key: [0, 1] for key in more}) for i in range(99)}
    assert Space({**more, **children}).cardinality() is None


@many
@given(spaces(finite=True))
def test_the_grid_of_a_finite_space_is_each_configuration_once(space: Space) -> None:
    count = space.cardinality()
    assert count is not None
    assume(count <= 3000)
    keys = [space.key(params) for params in space.grid()]
    assert len(keys) == len(set(keys)) == count
