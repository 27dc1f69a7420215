"""`flowbench check` on other libraries' own flows: `python -m benchmarks.peer_checks`.

Writes reports/peers.md and reports/peers.json. Each flow is built in float64 at perturbed
parameters and put to the same checks as FlowBench's families, through an adapter of a few lines.
"""

import inspect
import json
import math
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from importlib.metadata import version
from math import prod
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks.machine import machine
from benchmarks.tables import Table, console
from flowbench.conformance.case import Subject
from flowbench.conformance.checks import CHECKS
from flowbench.conformance.perturb import SCALES
from flowbench.conformance.result import CheckResult
from flowbench.conformance.run import check
from flowbench.families.registry import create

REPORTS = Path(__file__).parents[1] / "reports"
LIBRARIES = {
    "zuko": "zuko",
    "nflows": "nflows",
    "normflows": "normflows",
    "FrEIA": "freia",
    "torchflows": "torchflows",
}
"""Libraries, and the module of `benchmarks.peer_flows` that has their flows."""

VECTORS = ((2,), (3,))
IMAGES = ((1, 4, 4),)
ONE_WAY = ("decode log-det", "decode gradient")
"""What can be asked of a flow that scores nothing."""

NOTE = (
    "A flow fails where one of its cases does: parameters moved by 0.5, 1 and 2 times their own "
    "spread, events of 2 and of 3 numbers, or of 1 x 4 x 4 pixels. The first number is the worst "
    "value seen, the other the largest that passes; `raised` names an exception. Of a flow that "
    "scores no data the log-determinant and the gradient of its decode alone are checked. A round "
    "trip is held to 100 eps cond(J): an inverse that is searched for, or a map that is "
    "integrated, to a fixed tolerance fails that in float64. What fails from scale 2 on alone may "
    "be sound and badly conditioned there."
)


def flows(library: str) -> list[str]:
    """Return the names of a library's flows, in the order in which they are written."""
    module = import_module(f"benchmarks.peer_flows.{LIBRARIES[library]}")
    functions = inspect.getmembers(module, inspect.isfunction)
    own = [f for name, f in functions if f.__module__ == module.__name__ and name[0] != "_"]
    return [f.__name__ for f in sorted(own, key=lambda f: f.__code__.co_firstlineno)]


def described(library: str, flow: str) -> str:
    """Return the first words of a flow's docstring: what of the library it is."""
    module = import_module(f"benchmarks.peer_flows.{LIBRARIES[library]}")
    sentence = (inspect.getdoc(getattr(module, flow)) or "").partition("\n")[0]
    return sentence.removeprefix("Return ").rstrip(".")


def results(library: str, flow: str) -> list[CheckResult]:
    """Check a flow in all its cases."""
    warnings.simplefilter("ignore")  # the libraries' own, of torch's older names
    torch.set_num_threads(1)
    words = described(library, flow)
    family = f"benchmarks.peer_flows.{LIBRARIES[library]}:{flow}"
    return [
        result
        for shape in (IMAGES if "on images" in words else VECTORS)
        for scale in SCALES
        for result in check(
            Subject(
                group=f"{library} {flow}",
                name=f"event_shape = {shape}",
                build=partial(create, family, shape),
                event_shape=shape,
                latent_shape=(prod(shape),),
                scale=scale,
                seed=1,
            ),
            ONE_WAY if "not scored" in words else CHECKS,
        )
    ]


def failures(found: list[CheckResult]) -> Iterator[str]:
    """Yield a check that failed, its worst value and tolerance, or what was raised."""
    raised: dict[str, list[str]] = {}
    for name in dict.fromkeys(result.check for result in found if result.failed):
        failed = [result for result in found if result.check == name and result.failed]
        worst = max(failed, key=lambda result: result.strain)
        least = min(result.scale or 0.0 for result in failed)
        at = f" from scale {least:g}" if least > min(SCALES) else ""
        events = list(dict.fromkeys(result.subject for result in failed))
        if len(events) < len({result.subject for result in found}):
            at += f" where {' or '.join(events)}"
        if not math.isnan(worst.value):
            yield f"{name} {worst.value:.2g} > {worst.tolerance:.2g}{at}"
        elif worst.note.startswith("raised "):
            raised.setdefault(worst.note.removeprefix("raised "), []).append(f"{name}{at}")
        else:
            yield f"{name} {worst.note or 'not finite'}{at}"
    for error, names in raised.items():
        yield f"{', '.join(names)} raised {error.partition(':')[0]}"


def row(library: str, flow: str) -> tuple[str, str, str, str]:
    """Return a flow's line of the table."""
    found = results(library, flow)
    made = {result.check for result in found if result.verdict != "not checked"}
    said = "; ".join(failures(found))
    return described(library, flow), str(len(made)), "fails" if said else "passes", said


def table(library: str, rows: list[tuple[str, str, str, str]]) -> Table:
    """Return a library's verdicts."""
    return Table(
        library,
        f"{library} {version(library)}",
        ("flow", "checks made", "verdict", "which failed"),
        rows,
    )


def main() -> None:
    """Check every flow, print the tables, and write them."""
    jobs = [(library, flow) for library in LIBRARIES for flow in flows(library)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(row, *zip(*jobs, strict=True)))
    tables = [
        table(library, [each for job, each in zip(jobs, rows, strict=True) if job[0] == library])
        for library in LIBRARIES
    ]
    tables.append(machine())
    for each in tables:
        each.show(console())
    page = [
        "# Other libraries' flows under `flowbench check`",
        NOTE,
        *(t.markdown() for t in tables),
    ]
    (REPORTS / "peers.md").write_text("\n\n".join(page) + "\n")
    content = {each.name: each.records() for each in tables}
    (REPORTS / "peers.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
