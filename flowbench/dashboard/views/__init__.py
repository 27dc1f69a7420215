"""The views, one a file, in the order in which they are listed."""

from flowbench.dashboard.views import leaderboard, trade_off
from flowbench.dashboard.views.base import View

VIEWS: dict[str, View] = {view.name: view for view in (leaderboard.VIEW, trade_off.VIEW)}
