"""Taking runs out of the record."""

from collections.abc import Iterable

from flowbench.tracking import schema
from flowbench.tracking.store import connect, exists


def forget(tracking_uri: str, names: Iterable[str]) -> None:
    """Delete runs and their later measurements from the record, where it has them.

    MLflow only marks them as deleted: `mlflow gc` frees what they take, `mlflow runs restore`
    brings them back.

    Args:
        tracking_uri: the record's address.
        names: of runs, or of sweeps for their parent runs.
    """
    if not exists(tracking_uri):
        return
    client = connect(tracking_uri)
    experiment = client.get_experiment_by_name(schema.EXPERIMENT)
    if experiment is None:
        return
    for name in names:
        for tag in (schema.RUN, schema.MEASURES):
            query = f"tags.`{tag}` = '{name}'"
            for run in client.search_runs([experiment.experiment_id], query):
                client.delete_run(run.info.run_id)
