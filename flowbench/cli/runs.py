"""`flowbench train`, `evaluate`, `sample` and `score`: one run, and what its model can do."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flowbench.cli.show import console, print_json, saying, table
from flowbench.errors import InputError, RunFailed

if TYPE_CHECKING:
    from flowbench.evaluation import Evaluation
    from flowbench.evaluation.trained import Trained
    from flowbench.run_directory import RunDirectory

Model = Annotated[str, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="A run, or a model file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def train(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG... [key=value ...]",
            help="YAML or JSON files, merged left to right, then keys that override them.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Train one run; print its id and the three measures, on validation data.

    The specification of a run that was stopped, runs/ID/spec.json, goes on from its last
    checkpoint; that of a finished one is trained again, on the same device with the same losses.
    """
    from flowbench.cli.configuring import finished_run, run_spec, stopped_run
    from flowbench.cli.measures import measure_rows
    from flowbench.sweep.single import new_run_id, run_single

    spec = run_spec(arguments)
    run_id = stopped_run(arguments) or new_run_id(spec)
    result = run_single(spec, run_id, repeats=finished_run(arguments), quiet=as_json)
    if as_json:
        print_json({"id": run_id, **result.model_dump()})
    if result.outcome != "completed":
        raise RunFailed(f"{run_id}: {result.outcome.replace('_', ' ')}: {result.reason}")
    if not as_json:
        rows = measure_rows(result.metrics, result.labels, spec.evaluation.split)
        console().print(table(run_id, ["measure", "value"], rows))


def evaluate(
    model: Model,
    split: Annotated[
        Literal["validation", "test"], typer.Option(help="The part of the data to measure on.")
    ] = "validation",
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="All there is to measure: other inputs, float64, Jacobians, costs, samples.",
        ),
    ] = False,
    importance_draws: Annotated[
        int | None,
        typer.Option(min=2, help="Dequantization draws of an importance-weighted likelihood."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a trained model again, on the data that it was trained with.

    A measurement of a run is kept beside it, and goes into the record as a run of its own. A
    model of which no other was tried is compared by what is measured on test data.
    """
    from flowbench.cli.measures import measure_rows
    from flowbench.evaluation import evaluate as measure
    from flowbench.evaluation.importance import refusal
    from flowbench.run_directory import find_run
    from flowbench.spec.run import EvaluationSpec, TrainingSpec
    from flowbench.tracking.schema import POINTS_ARTIFACT

    trained = _opened(model)
    run = find_run(model)
    spec = EvaluationSpec() if run is None else run.spec().evaluation
    training = TrainingSpec() if run is None else run.spec().training
    asked = {
        "split": split,
        "speed": True,
        "protocol": "full" if full else "quick",
        "importance_draws": importance_draws or spec.importance_draws,
    }
    spec = spec.model_copy(update=asked)
    data = trained.open_data(training.batch_size)
    if importance_draws and (refused := refusal(trained.flow, data, split)):
        raise InputError(f"{model}: {refused}")
    began = time.monotonic()
    with saying("measuring") as progress, TemporaryDirectory() as out:
        found = measure(trained.flow, data, spec, out=Path(out), progress=progress)
        if run is not None:
            _keep(run, found, time.monotonic() - began, Path(out) / POINTS_ARTIFACT)
    if as_json:
        print_json({"model": str(trained.path), "metrics": found.metrics, "labels": found.labels})
        return
    rows = measure_rows(found.metrics, found.labels, split)
    console().print(table(model, ["measure", "value"], rows))


def _keep(run: RunDirectory, found: Evaluation, seconds: float, points: Path) -> None:
    """Keep a later measurement of a run, with its results by point."""
    from flowbench.tracking.measurements import MeasuredResult, write_evaluation
    from flowbench.tracking.provenance import git_commit
    from flowbench.tracking.record import open_recorder

    result = MeasuredResult(
        outcome="completed",
        metrics=found.metrics,
        labels=found.labels,
        seconds=seconds,
        git_commit=git_commit(),
        command=shlex.join(sys.argv),
    )
    write_evaluation(run, result, points)
    open_recorder().sync([run])


def sample(
    model: Model,
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help=".npy; .csv for tables; .png for images. A file that is there is replaced.",
        ),
    ],
    n: Annotated[int, typer.Option("-n", min=1, help="How many samples.")] = 64,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Scale of the latent; 1 is the model itself.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same samples.")] = 0,
) -> None:
    """Draw samples, in the units of the data."""
    from flowbench.cli.writing import refuse_format, write_samples
    from flowbench.evaluation.samples import draw

    trained = _opened(model)
    flow, about = trained.flow, trained.about
    images = len(flow.event_shape) == 3
    what = "samples of images" if images else "samples of tables"
    refuse_format(out, (".npy", ".png") if images else (".npy", ".csv"), what)
    if flow.context_size:
        given = ", ".join(about.context) or f"{flow.context_size} numbers"
        raise InputError(
            f"{model}: its density is conditional on {given}; sample it in Python, with "
            "flowbench.load(...).sample(n, context)"
        )
    drawn = about.dequantise.quantise(draw(flow, n, temperature=temperature, seed=seed)).numpy()
    broken = int((~(abs(drawn) < float("inf"))).reshape(n, -1).any(1).sum())
    if broken:
        print(f"flowbench: {broken:,} of {n:,} samples are not finite", file=sys.stderr)
    elif about.levels is not None and about.levels <= 256:
        drawn = drawn.astype("uint8")
    write_samples(drawn, about.columns, about.levels, out)


def score(
    model: Model,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Data as the model was trained on.")],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help=".csv, .parquet or .npy. A file that is there is replaced.",
        ),
    ],
) -> None:
    """Write the log density of each row of a file, in nats; rows are counted from 0."""
    from flowbench.cli.writing import refuse_format, write_scores
    from flowbench.evaluation.scoring import read_events, score_events

    refuse_format(out, (".csv", ".parquet", ".npy"), "scores")
    trained = _opened(model)
    log_prob = score_events(trained, read_events(trained, file))
    broken = int((~log_prob.isfinite()).sum())
    if broken:
        print(f"flowbench: {broken:,} of {len(log_prob):,} are not finite", file=sys.stderr)
    write_scores(log_prob.numpy(), out)


def _opened(model: str) -> Trained:
    """Open a model on the best device there is."""
    import torch

    from flowbench.evaluation.trained import open_trained

    trained = open_trained(model)
    trained.flow.to("cuda" if torch.cuda.is_available() else "cpu")
    return trained
