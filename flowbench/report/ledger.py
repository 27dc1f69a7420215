"""What stands behind the numbers: runs that failed, the protocol, and where each number is from."""

import pandas as pd

from flowbench.compare.runs import Frame

ENDED_WELL = ("completed", "pruned")


def failures(frame: Frame) -> pd.DataFrame:
    """Return every run that did not complete and was not pruned, with its reason."""
    runs = frame.runs[~frame.runs["outcome"].isin(ENDED_WELL)]
    runs = runs.assign(outcome=runs["outcome"].replace("", "no result yet").str.replace("_", " "))
    ledger = runs[["data", "family", "run", "stage", "outcome", "reason"]]
    return ledger.sort_values(["data", "family", "run"], ignore_index=True)


def failures_note(frame: Frame) -> str:
    """Count the outcomes in one sentence."""
    counts = frame.runs["outcome"].replace("", "no result yet").value_counts()
    words = ", ".join(f"{n:,} {str(outcome).replace('_', ' ')}" for outcome, n in counts.items())
    return f"Of {len(frame.runs):,} runs: {words}."


def provenance(frame: Frame, table: pd.DataFrame) -> pd.DataFrame:
    """Return for each run behind the numbers, later measurements included, what made it."""
    quoted = {run for ids in table["run_ids"] for run in ids}
    runs = frame.runs
    behind = runs[runs["run"].isin(quoted) | runs["measures"].isin(quoted)]
    split = behind["test/bits_per_dim"].fillna(behind["val/bits_per_dim"])
    versions = [name for name in runs.columns if str(name).startswith("version.")]
    shown = pd.DataFrame({
        "data": behind["data"], "family": behind["family"], "run": behind["run"],
        "stage": behind["stage"], "bits/dim": split.map("{:.5f}".format, na_action="ignore"),
        "model seed": behind["model_seed"].map("{:.0f}".format, na_action="ignore"),
        "data seed": behind["data_seed"].map("{:.0f}".format, na_action="ignore"),
        "spec": behind["spec_hash"], "commit": behind["git_commit"].str[:12],
        "data hash": behind["data_hash"].str[:12], "device": behind["device"],
        "versions": [
            " ".join(f"{n.removeprefix('version.')} {row[n]}" for n in versions if row[n])
            for row in behind[versions].fillna("").to_dict("records")
        ],
    })  # fmt: skip
    return shown.sort_values(["data", "family", "run"], ignore_index=True)


def protocol(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Say in words how the numbers were made."""
    budgets = sorted(set(table.get("budget", pd.Series(dtype=str))) - {""})
    trials = table.get("trials", pd.Series(dtype=int))
    spent = f" Each trial had {' or '.join(budgets)}." if budgets else ""
    tried = f" Up to {int(trials.max())} trials a family." if len(trials) and trials.max() else ""
    return [
        (
            "Choice",
            "Each family's best configuration is chosen on validation data, then trained again with"
            " fresh seeds; only those runs are measured on test data. A row marked tuned on has no"
            f" such runs: it flatters.{spent}{tried}",
        ),
        (
            "Bits per dimension",
            "-log2 p(x) / D in the data's own units, all preprocessing included: less is better."
            " Discrete data are ranked by it. Continuous data are ranked by the gain over a"
            " full-covariance Gaussian fitted to the training split, which no change of units"
            " moves.",
        ),
        (
            "Standard error",
            "Over seeds and test points, both taken to be random (two-way random effects,"
            " Satterthwaite's degrees of freedom): more seeds do not shrink the points' error.",
        ),
        (
            "Behind the best",
            "Paired: the difference is taken test point by test point, each family averaged over"
            " its seeds; its error adds the seeds' variance of both to that of the points. Tested"
            " from five seeds on (t-test, Holm's correction over all pairs of the data set).",
        ),
        (
            "Sampling speed",
            "Median over repeats after a warm-up. Iterative samplers are timed at the worst error"
            " that their row states. Speeds of different devices are never ranked together.",
        ),
        (
            "Inversion error",
            "The largest coordinate error of decode(encode(x)) over held-out points, in flow"
            " coordinates, the worst seed; exact is the share of integer points recovered.",
        ),
        (
            "Protocols",
            "Quick is what every run is measured by; full adds double precision, inputs unlike the"
            " data, the exact Jacobian, costs, samples and the latent (flowbench evaluate --full)."
            " Figures of the two are never ranked in one column.",
        ),
        (
            "Labels",
            "A log-determinant is exact, an estimate, or a one-sided bound; a likelihood is that of"
            " a density, or of dequantised data: an upper bound on the integers' code length.",
        ),
    ]
