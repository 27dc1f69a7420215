"""The names of the record: what MLflow's experiments, tags, parameters and metrics are called."""

EXPERIMENT = "flowbench"

PREFIX = "flowbench."
RUN = "flowbench.run"
"""The run's identifier, the name of its directory: `demo.nice.digits.0001`."""
SWEEP = "flowbench.sweep"
STAGE = "flowbench.stage"
"""`single`, `tune`, `confirm`, `speed`, `evaluate`; a sweep's own (parent) run has the stage
`sweep`."""
FAMILY = "flowbench.family"
DATA = "flowbench.data"
DATA_SEED = "flowbench.data_seed"
MODEL_SEED = "flowbench.model_seed"
OUTCOME = "flowbench.outcome"
REASON = "flowbench.reason"
SPEC_HASH = "flowbench.spec_hash"
SWEEP_HASH = "flowbench.sweep_hash"
DATA_HASH = "flowbench.data_hash"
GIT_COMMIT = "flowbench.git_commit"
COMMAND = "flowbench.command"
DEVICE = "flowbench.device"
N_PARAMETERS = "flowbench.n_parameters"
TRIAL = "flowbench.trial"
"""The number of the trial in its study, or of the confirming seed."""
ATTEMPTS = "flowbench.attempts"
LOST = "flowbench.lost"
"""Why earlier attempts were lost, one sentence each, joined by `; `."""
MEASURES = "flowbench.measures"
"""On a later measurement: the run that it measures."""
REUSES = "flowbench.reuses"
"""The run of the same specification whose result this one took over instead of training again."""
DEFAULT = "flowbench.default"
"""`yes` on a tuning trial of the family's default configuration, which tuning is measured by;
`nearest` where the space holds only one near it."""
BUDGET_UNIT = "flowbench.budget_unit"
BUDGET_PER_TRIAL = "flowbench.budget_per_trial"
BUDGET_TRIALS = "flowbench.budget_trials"
BUDGET_TOTAL = "flowbench.budget_total"

LABEL_PREFIX = "flowbench.label."
"""What the metrics mean and were made by: `log_det`, `data`, `inverse`, `preprocess`, ..."""
VERSION_PREFIX = "flowbench.version."
"""Versions of python, torch, ..., at the time of the run."""

PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"

SWEEP_STAGE = "sweep"

BASELINE_PREFIX = "baseline/"
"""Metrics: the baselines of the data set, as its data module names them."""

SPEC_ARTIFACT = "spec.json"
SWEEP_ARTIFACT = "sweep.json"
EVENTS_ARTIFACT = "events.jsonl"
MODEL_ARTIFACT = "best.pt"
SAMPLES_ARTIFACT = "samples.npz"
"""Arrays `flow` and `data`: `(n, *event_shape)` in data units, the model's samples beside real ones
of the split that was measured."""
POINTS_ARTIFACT = "points.parquet"
"""Columns `row`, `log_prob` (nats) and `se`: what pairing two runs needs; of continuous data also
`gaussian`, the baseline's log density of each point."""

INFINITY = 1.79e308
"""From here on MLflow's number means infinity (its SQL store clips)."""
