"""The space a study searches: parameters, when each of them counts, and the unit box that samplers see.

Promise: what `Space` hands out (`validate`, `sample`, `from_unit`, `grid`) always fits it: in range, on its grid,
every active parameter there and no inactive one. Nothing depends on the order in which parameters were written,
since a database does not keep it: columns are `Space.names`, parents before what hangs on them, else by name.

`Float`, `Int` and `Choice` only describe; `Space` checks them all at once and names each one that is wrong.
"""

from celeriac.domain.space.conditions import condition_of
from celeriac.domain.space.forms import parameter_to_dict
from celeriac.domain.space.parameters import MOST_OPTIONS, MOST_VALUES, Choice, Float, Int, Option, Parameter, When
from celeriac.domain.space.space import INACTIVE, MOST_PARAMETERS, Space
from celeriac.domain.space.words import is_name, nearest, same, show

__all__ = [
    "INACTIVE",
    "MOST_OPTIONS",
    "MOST_PARAMETERS",
    "MOST_VALUES",
    "Choice",
    "Float",
    "Int",
    "Option",
    "Parameter",
    "Space",
    "When",
    "condition_of",
    "is_name",
    "nearest",
    "parameter_to_dict",
    "same",
    "show",
]
