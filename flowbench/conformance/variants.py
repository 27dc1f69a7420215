"""Which configurations of a family are checked: every pair of choices that it allows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Annotated, Any, Literal, get_args, get_origin

from flowbench.families.schema import Constructor, hyperparameter_model

Configuration = dict[str, Any]

SMALL: Configuration = {"depth": 2, "hidden": (8, 8), "width": 8}
"""Sizes that make a check quick, of keys that mean the same in every family."""

VARIED: dict[str, tuple[Any, ...]] = {
    "split_ratio": (0.5, 0.3),
    "bottleneck": (None, 1),
    "lipschitz": (0.97, 0.5),
    "flat_depth": (0, 1),
    "squeeze_first": (True, False),
    "factor_out": (True, False),
}
"""Further choices, for keys that are numbers but change how a model is built, and an order in which
the quicker comes first, for it fills up the configurations that are there for other keys."""


def choices(family: Constructor) -> dict[str, tuple[Any, ...]]:
    """Return the values to try of each hyperparameter that is a choice, read off its signature.

    Literals give all their words, booleans both values, optional ones None as well; other
    hyperparameters keep their default.
    """
    found: dict[str, tuple[Any, ...]] = {}
    for name, field in hyperparameter_model(family).model_fields.items():
        values = VARIED.get(name) or _values(field.annotation)
        if len(values) > 1:
            found[name] = values
    return found


def small(family: Constructor) -> Configuration:
    """Return those of the small sizes that the family knows."""
    return {key: SMALL[key] for key in hyperparameter_model(family).model_fields if key in SMALL}


def covering(
    factors: Mapping[str, Sequence[Any]], allowed: Callable[[Configuration], bool]
) -> list[Configuration]:
    """Return few configurations that hold, of any two factors, all pairs of values allowed.

    Greedily: the next configuration is the one with the most pairs that are new.

    Args:
        factors: the values of each.
        allowed: whether a configuration exists; asked as seldom as possible, for it may be slow.
    """
    candidates = [dict(zip(factors, each, strict=True)) for each in product(*factors.values())]
    # Sets of pairs as bits of one number: there may be thousands of candidates.
    bits: dict[object, int] = {}
    pairs = [
        sum(1 << bits.setdefault(pair, len(bits)) for pair in _pairs(candidate))
        for candidate in candidates
    ]
    left = set(range(len(candidates)))
    covered = 0
    chosen = []
    while left:
        best = max(left, key=lambda index: ((pairs[index] & ~covered).bit_count(), -index))
        if not pairs[best] & ~covered:
            break
        left.remove(best)
        if allowed(candidates[best]):
            covered |= pairs[best]
            chosen.append(candidates[best])
    return chosen


def _pairs(configuration: Configuration) -> set[object]:
    """Return the pairs of values in a configuration; of a single factor, its value."""
    if len(configuration) == 1:
        return set(configuration.items())
    return set(combinations(configuration.items(), 2))


def _values(annotation: Any) -> tuple[Any, ...]:
    """Return all values of a type that has a few, nothing of one that has many."""
    if annotation is bool:
        return (False, True)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return arguments
    if origin is Annotated:
        return _values(arguments[0])
    return _of_union(arguments) if type(None) in arguments else ()


def _of_union(arguments: Iterable[Any]) -> tuple[Any, ...]:
    """Return the values of an optional type, None first; nothing where there are many."""
    values = [value for each in arguments if each is not type(None) for value in _values(each)]
    return (None, *values) if values else ()
