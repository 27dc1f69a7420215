from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from flowbench.report.contents import contents
from flowbench.report.page import write_report


@dataclass
class Raw:
    """A record as MLflow itself gives it, past every reader of FlowBench."""

    uri: str
    runs: pd.DataFrame

    def metric(self, name, **where):
        """Return a metric of the runs with these tags, indexed by family and run."""
        rows = self.runs
        for tag, value in where.items():
            rows = rows[rows[f"tags.flowbench.{tag}"] == value]
        index = [rows["tags.flowbench.family"], rows["tags.flowbench.run"]]
        return pd.Series(rows[f"metrics.{name}"].to_numpy(), index=index).dropna()

    def points(self, data):
        """Return each family's log densities of test points: a row a point, a column a seed."""
        confirmed = self.runs[
            (self.runs["tags.flowbench.data"] == data)
            & (self.runs["tags.flowbench.stage"] == "confirm")
        ]
        found = {}
        for family, rows in confirmed.groupby("tags.flowbench.family"):
            columns = [
                pd.read_parquet(
                    mlflow.artifacts.download_artifacts(
                        run_id=run, artifact_path="points.parquet", tracking_uri=self.uri
                    )
                ).set_index("row")["log_prob"]
                for run in rows["run_id"]
            ]
            found[family] = pd.concat(columns, axis=1).to_numpy()
        return found


@pytest.fixture(scope="session")
def raw(full_uri):
    with pytest.MonkeyPatch.context() as patch:
        # MLflow keeps what it is told in the environment, where other tests would find it.
        patch.setenv("MLFLOW_TRACKING_URI", full_uri)
        mlflow.set_tracking_uri(full_uri)
        found = mlflow.search_runs(experiment_names=["flowbench"])
        mlflow.set_tracking_uri(None)
    return Raw(full_uri, found)


@pytest.fixture(scope="session")
def made(full_uri):
    """All that the report of the sweep `full` says."""
    return contents(full_uri, "full")


@pytest.fixture(scope="session")
def section(made):
    return {part.data: part for part in made.sections}


@pytest.fixture(scope="session")
def full(full_uri, tmp_path_factory) -> Path:
    """The directory of that report."""
    return write_report(full_uri, "full", tmp_path_factory.mktemp("full-report")).parent
