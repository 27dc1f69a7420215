"""Which configurations are checked."""

from itertools import combinations, product
from typing import Literal

from torch import nn

from flowbench.conformance.variants import choices, covering


class Family(nn.Module):
    def __init__(
        self,
        event_shape: tuple[int, ...],
        *,
        depth: int = 3,
        shape: Literal["round", "square"] = "round",
        size: Literal[1, 2] | None = None,
        fast: bool = False,
        split_ratio: float = 0.5,
        context_size: int = 0,
    ) -> None:
        super().__init__()


def test_choices_are_read_off_the_signature():
    assert choices(Family) == {
        "shape": ("round", "square"),
        "size": (None, 1, 2),
        "fast": (False, True),
        "split_ratio": (0.5, 0.3),
    }


def test_every_allowed_pair_of_values_is_covered_by_few_configurations():
    factors = {"a": (1, 2, 3), "b": (1, 2, 3, 4), "c": (1, 2), "d": (1, 2, 3)}

    def allowed(configuration):
        return configuration["a"] != configuration["d"]

    everything = [dict(zip(factors, values, strict=True)) for values in product(*factors.values())]
    wanted = {
        pair
        for configuration in filter(allowed, everything)
        for pair in combinations(configuration.items(), 2)
    }
    chosen = covering(factors, allowed)
    assert all(map(allowed, chosen))
    assert {pair for each in chosen for pair in combinations(each.items(), 2)} == wanted
    assert len(chosen) < len(everything) / 2


def test_a_single_factor_gives_each_of_its_values():
    assert covering({"a": (1, 2, 3)}, lambda configuration: configuration["a"] != 2) == [
        {"a": 1},
        {"a": 3},
    ]
