"""Optuna's storage on a server that may be restarted at any time."""

from collections.abc import Callable
from typing import Any, TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage, get_storage

from flowbench.database import Patience

T = TypeVar("T")


def _patiently(name: str) -> Any:
    def call(self: "PatientStorage", *arguments: Any, **named: Any) -> Any:
        return self.wait(lambda: getattr(self.storage, name)(*arguments, **named))

    call.__name__ = name
    return call


class PatientStorage(BaseStorage):
    """Repeats each call until the server answers.

    A trial that was created just before the server went away may be created twice. The first has
    no driver then, and whoever looks for one that was left behind goes on with it.
    """

    def __init__(self, storage: RDBStorage, patience: Patience) -> None:
        self.storage = get_storage(storage)  # which caches finished trials
        self.patience = patience

    def wait(self, call: Callable[[], T]) -> T | None:
        """Call until there is an answer; what was done before the answer was lost is done."""
        tries = 0

        def once() -> T | None:
            nonlocal tries
            tries += 1
            try:
                return call()
            except UpdateFinishedTrialError:
                if tries == 1:
                    raise
                return None

        return self.patience(once)

    create_new_study = _patiently("create_new_study")
    delete_study = _patiently("delete_study")
    set_study_user_attr = _patiently("set_study_user_attr")
    set_study_system_attr = _patiently("set_study_system_attr")
    get_study_id_from_name = _patiently("get_study_id_from_name")
    get_study_name_from_id = _patiently("get_study_name_from_id")
    get_study_directions = _patiently("get_study_directions")
    get_study_user_attrs = _patiently("get_study_user_attrs")
    get_study_system_attrs = _patiently("get_study_system_attrs")
    get_all_studies = _patiently("get_all_studies")
    create_new_trial = _patiently("create_new_trial")
    set_trial_param = _patiently("set_trial_param")
    get_trial_id_from_study_id_trial_number = _patiently("get_trial_id_from_study_id_trial_number")
    set_trial_state_values = _patiently("set_trial_state_values")
    set_trial_intermediate_value = _patiently("set_trial_intermediate_value")
    set_trial_user_attr = _patiently("set_trial_user_attr")
    set_trial_system_attr = _patiently("set_trial_system_attr")
    get_trial = _patiently("get_trial")
    get_all_trials = _patiently("get_all_trials")
    get_best_trial = _patiently("get_best_trial")
    remove_session = _patiently("remove_session")
