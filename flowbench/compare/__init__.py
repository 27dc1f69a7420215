"""One frame of all runs, its statistics and fairness checks.

import flowbench.compare

runs = flowbench.compare.frame()
runs[runs["stage"] == "confirm"].groupby(["data", "family"])["test/bits_per_dim"].mean()
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame"]


def frame(tracking_uri: str | None = None, sweep: str | None = None) -> "pd.DataFrame":
    """Return all runs of a record as one tidy frame, for notebooks: one row a run.

    Args:
        tracking_uri: any MLflow record, such as `sqlite:///runs/mlflow.db` or a server's
            `http://...`; by default this directory's own.
        sweep: a sweep's name; None for all runs.

    Returns:
        One row a run, the oldest first; what was measured of it later is joined to its row, the
        newest first, quick and full protocols apart (`flowbench.compare.joining`). Columns:

        * `run`, `sweep`, `stage`, `family`, `data`, `outcome`, `reason`, `started`, `ended`,
          `model_seed`, `data_seed`, `trial`, `parameters`, `budget`, `device`, `spec_hash`,
          `data_hash`, `git_commit` and the rest of `flowbench.tracking.reader.read_runs`;
        * `param.family.depth` and the like: the specification, as text;
        * `label.log_det` and the like: what the metrics mean;
        * `test/bits_per_dim`, `inversion/flow/xzx/max`, `sampling/b1/latency_ms`, ...: every
          metric by its name (`flowbench.spec.metrics`), NaN where a run has none. Iterative
          samplers have their matched speed under the plain name, and its worst error in
          `speed_error`.

    Raises:
        flowbench.errors.InputError: if there is no record, or no run in it, or none of that sweep.
    """
    from flowbench.compare.runs import load
    from flowbench.tracking.store import default_tracking_uri

    return load(tracking_uri or default_tracking_uri(), sweep).joined
