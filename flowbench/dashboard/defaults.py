"""The families' defaults, asked once of a process that may load torch: this one does not."""

import json
import subprocess
import sys
import threading
from typing import Any

from flowbench.spec.run import RunSpec
from flowbench.tracking.facts import flattened

PROGRAM = (sys.executable, "-m", "flowbench.cli", "families", "--json")


class Defaults:
    """What a specification would be if it said nothing but its family and data."""

    def __init__(self) -> None:
        self._families: dict[str, dict[str, Any]] | None = None
        self._lock = threading.Lock()
        self._asked = False

    @property
    def known(self) -> bool:
        """Whether the families have answered; the first question starts asking them."""
        with self._lock:
            if not self._asked:
                self._asked = True
                threading.Thread(target=self._ask, name="defaults", daemon=True).start()
        return self._families is not None

    def of(self, family: str) -> dict[str, str]:
        """Return the defaults by the specification's dotted keys, as the record writes them.

        A family that is not FlowBench's own, or is not known yet, has none of its own.
        """
        own = (self._families or {}).get(family, {})
        general = RunSpec.model_validate({"family": {"name": family}, "data": {"name": "any"}})
        found = flattened(general.model_dump(mode="json")) | flattened(own, "family.")
        return {key: value for key, value in found.items() if key not in ("data.name",)}

    def _ask(self) -> None:
        done = subprocess.run(  # noqa: S603 - our own program
            PROGRAM, capture_output=True, text=True, check=False
        )
        families: list[dict[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
        self._families = {
            family["name"]: {key["name"]: key["default"] for key in family["hyperparameters"]}
            for family in families
        }


DEFAULTS = Defaults()
