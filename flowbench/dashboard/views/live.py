"""A sweep as it runs: progress, slots, what runs, learning curves, failures."""

import math
from datetime import datetime

from dash import dcc, html
from dash.development.base_component import Component

from flowbench.compare.runs import Frame
from flowbench.dashboard import parts
from flowbench.dashboard.address import Address
from flowbench.dashboard.live import LiveSweep, live_sweep, live_version, state_of, sweeps_here
from flowbench.dashboard.picture import Picture
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.base import View
from flowbench.errors import InputError
from flowbench.report.figures.learning_curves import learning_curves_figure
from flowbench.report.ledger import failures
from flowbench.report.tables import plain
from flowbench.run_directory import home
from flowbench.sweep.status import RUNNING, WAITING

TITLE = "Live"
QUESTION = "How far is the sweep, what runs now, and how is it going?"
NEWEST = 20
"""Failures that are shown."""


def chosen(address: Address) -> str | None:
    """Return the sweep that is shown: the chosen one, else one that runs, else the newest."""
    here = sweeps_here()
    if address.sweep:
        return address.sweep
    running = (name for name, directory in here.items() if state_of(directory) == "running")
    return next(running, next(iter(here), None))


def show(seen: Seen) -> Component:
    """Return the sweep as its run directories show it."""
    name = chosen(seen.address)
    if name is None:
        return parts.page(TITLE, QUESTION, parts.nothing(f"There is no sweep under {home()}."))
    try:
        live = live_sweep(name)
    except InputError as error:
        words = f"{error}: the record has it, but it was run from elsewhere."
        return parts.page(f"{TITLE}: {name}", QUESTION, parts.nothing(words))
    return parts.page(
        f"{TITLE}: {name}",
        QUESTION,
        _state(live),
        html.Div([_progress(live), _slots(live, seen.address)], className="stack"),
        _curves(live, seen.address),
        _failures(seen, name),
    )


def _state(live: LiveSweep) -> Component:
    status = live.status
    words: list[str] = [status.state]
    if status.running_since is not None:
        words.append(f"since {clock(status.running_since)} by process {status.driver}")
    if status.expected_end is not None:
        words.append(f"expected to end about {clock(status.expected_end)}")
    return html.P([
        html.B(", ".join(words)), f" · {status.budget} · next: ", html.Code(status.how_to_go_on),
    ])  # fmt: skip


def _progress(live: LiveSweep) -> Component:
    bars = []
    for stage, outcomes in live.status.counts.items():
        expected = live.status.expected[stage]
        if not expected:
            continue
        done = sum(n for outcome, n in outcomes.items() if outcome not in (RUNNING, WAITING))
        each = [f"{n:,} {outcome.replace('_', ' ')}" for outcome, n in sorted(outcomes.items())]
        words = f"{stage}: {done:,} of {expected:,}" + (f" ({', '.join(each)})" if each else "")
        bars.append(parts.bar(done, expected, words))
    return parts.card("Progress", *bars)


def _slots(live: LiveSweep, address: Address) -> Component:
    used, slots = len(live.trials), live.status.slots
    title = f"{used} of {slots} slots in use"
    if not live.trials:
        return parts.card(title, html.P("Nothing runs now.", className="note"))
    head = ("run", "family", "data", "stage", "epoch", "val bits/dim", "since")
    rows = [
        html.Tr([
            html.Td([
                dcc.Link(trial.run, href=address.of_run(trial.run).href),
                f" (attempt {trial.attempt})" if trial.attempt else "",
            ]),
            html.Td(parts.family(trial.family)),
            html.Td(trial.data),
            html.Td(trial.stage),
            html.Td("" if trial.epoch is None else str(trial.epoch), className="number"),
            html.Td("" if math.isnan(trial.bits_per_dim) else f"{trial.bits_per_dim:.4f}",
                    className="number"),
            html.Td(clock(trial.since)),
        ])
        for trial in live.trials
    ]  # fmt: skip
    table = html.Table([html.Thead(html.Tr([html.Th(t) for t in head])), html.Tbody(rows)])
    return parts.card(title, html.Div(table, className="scroll", tabIndex=0))


def _curves(live: LiveSweep, address: Address) -> Component | None:
    picture = _picture(live)
    return None if picture is None else parts.figures([picture], address)


def _picture(live: LiveSweep) -> Picture | None:
    if live.curves.empty:
        return None
    return Picture(
        "curves", "Learning curves",
        "Validation bits/dim of what runs, and of the runs before it. A click opens the run.",
        live.curves, learning_curves_figure, places=("step", "value"), wide=True,
    )  # fmt: skip


def pictures(seen: Seen) -> list[Picture]:
    """Return the curves that are shown."""
    name = chosen(seen.address)
    picture = None if name is None or name not in sweeps_here() else _picture(live_sweep(name))
    return [] if picture is None else [picture]


def _failures(seen: Seen, name: str) -> Component:
    runs = seen.snapshot.of_sweep(name).runs
    ledger = failures(Frame(seen.frame.tracking_uri, runs))
    if ledger.empty:
        return parts.card("Failures", html.P("None so far.", className="note"))
    newest = ledger.iloc[-NEWEST:]
    links = {run: seen.address.of_run(run).href for run in newest["run"]}
    more = dcc.Link(f"all {len(ledger):,}", href=Address(sweep=name).at("failures").href)
    return parts.card("Failures", parts.table(plain(newest), links), html.P(more))


def state(address: Address) -> str:
    """Return what the sweep is at."""
    name = chosen(address)
    return "" if name is None else f"{name} {live_version(name)}"


def clock(seconds: float) -> str:
    """Return a time of day, with its date where that is not today's."""
    moment = datetime.fromtimestamp(seconds)
    today = moment.date() == datetime.now().date()
    return f"{moment:%H:%M}" if today else f"{moment:%d %B %H:%M}"


VIEW = View(
    "live", TITLE, QUESTION, show, lambda seen: {p.name: p.data for p in pictures(seen)},
    filters=("sweep",), part="Sweeps", state=state, pictures=pictures,
)  # fmt: skip
