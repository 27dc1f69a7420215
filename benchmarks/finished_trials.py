"""Thousands of finished trials in a study, without the minutes that Optuna's own calls take."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from flowbench.spec.sweep import SweepSpec
from flowbench.sweep.space import suggest
from flowbench.sweep.storage import Storage

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from optuna.trial import FrozenTrial


def fill(storage: Storage, sweep: SweepSpec, finished: int) -> None:
    """Write finished trials with random values into a sweep's only study.

    Through Optuna's own calls, thirty transactions a trial, it would take minutes.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    (family,) = sweep.families
    (label,) = sweep.data_labels
    drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(finished):
        trial = drawn.ask()
        trial.set_user_attr("values", suggest(trial, sweep.space(family), {}))
        trial.set_user_attr("outcome", "completed")
        trial.set_user_attr("spent", 1.0)
        trial.set_constraint("failure", 0.0)
        drawn.tell(trial, 3 + trial.params["family.depth"] / 16)
    database: Any = storage.studies()
    for wrapped in ("storage", "_backend"):  # patience, then a cache
        database = getattr(database, wrapped, database)
    name = f"{sweep.name}/{family}/{label}"
    study_id = database.create_new_study([optuna.study.StudyDirection.MINIMIZE], name)
    _insert(database, study_id, drawn.get_trials(deepcopy=False))


def _insert(database: "RDBStorage", study_id: int, trials: "list[FrozenTrial]") -> None:
    now = datetime.now()
    with Session(database.engine) as session:

        def add(model: Any, rows: list[dict[str, Any]]) -> None:
            if rows:
                session.execute(insert(model), rows)

        add(
            models.TrialModel,
            [
                {"number": t.number, "study_id": study_id, "state": t.state,
                 "_datetime_start_utc": now, "_datetime_complete_utc": now}
                for t in trials
            ],
        )  # fmt: skip
        numbered = select(models.TrialModel.number, models.TrialModel.trial_id).where(
            models.TrialModel.study_id == study_id
        )
        ids: dict[int, int] = {row.number: row.trial_id for row in session.execute(numbered)}
        add(
            models.TrialParamModel,
            [
                {"trial_id": ids[t.number], "param_name": name,
                 "param_value": d.to_internal_repr(t.params[name]),
                 "distribution_json": distribution_to_json(d)}
                for t in trials for name, d in t.distributions.items()
            ],
        )  # fmt: skip
        add(
            models.TrialValueModel,
            [
                {"trial_id": ids[t.number], "objective": 0, "value": t.values[0],
                 "value_type": models.TrialValueModel.TrialValueType.FINITE}
                for t in trials
            ],
        )  # fmt: skip
        for model, attributes in (
            (models.TrialUserAttributeModel, "user_attrs"),
            (models.TrialSystemAttributeModel, "system_attrs"),
        ):
            add(
                model,
                [
                    {"trial_id": ids[t.number], "key": key, "value_json": json.dumps(value)}
                    for t in trials for key, value in getattr(t, attributes).items()
                ],
            )  # fmt: skip
        session.commit()
