"""Print what a machine with torch needs beside it for the tests here: `needed.py NAME...`.

The names are those of packages that the machine has. Everything is pinned as it is installed here.
"""

import sys
from importlib.metadata import requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(names, without=frozenset()):
    """Return the installed packages that these need, themselves included, but for some."""
    found = set()
    waiting = [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in without:
            found.add(name)
            needed = [Requirement(text) for text in requires(name) or []]
            waiting += [
                canonicalize_name(each.name)
                for each in needed
                if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
    return found


if __name__ == "__main__":
    present = closure(["torch"]) | {canonicalize_name(name) for name in sys.argv[1:]}
    needed = closure(["flowbench", "pytest", "pytest-timeout", "setuptools"], present | {"pip"})
    for name in sorted(needed - {"flowbench"}):
        print(f"{name}=={version(name)}")
