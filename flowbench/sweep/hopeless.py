"""Ending the search of a family that is far behind, where the sweep file says so."""

from collections.abc import Iterable

from flowbench.spec.search import StopHopeless
from flowbench.sweep.study import Search


def is_hopeless(search: Search, rivals: Iterable[Search], rule: StopHopeless) -> bool:
    """Say whether a family is too far behind the best of all on its data set to go on.

    A family without a single sound trial is behind any that has one. What is hopeless stays so:
    only the others can still improve.

    Args:
        search: the family's.
        rivals: every family's on the same data set, itself included.
        rule: how many trials it has in any case, and how far behind is too far.
    """
    if search.finished < rule.after:
        return False
    return search.best_value > min(rival.best_value for rival in rivals) + rule.behind
