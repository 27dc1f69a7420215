"""The views in the order in which they are listed."""

from flowbench.dashboard.views import (
    compare,
    curves,
    differences,
    failures,
    hyperparameters,
    inversion,
    leaderboard,
    lipschitz,
    live,
    overview,
    run,
    runs,
    samples,
    scaling,
    splits,
    trade_off,
)
from flowbench.dashboard.views.base import View

VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        overview.VIEW,
        live.VIEW,
        leaderboard.VIEW,
        trade_off.VIEW,
        differences.VIEW,
        samples.VIEW,
        curves.VIEW,
        lipschitz.VIEW,
        splits.VIEW,
        hyperparameters.VIEW,
        scaling.VIEW,
        inversion.VIEW,
        runs.VIEW,
        compare.VIEW,
        failures.VIEW,
        run.VIEW,
    )
}
