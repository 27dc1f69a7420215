import pytest
from stand_in_sweep import home_at


@pytest.fixture
def runs_home(tmp_path):
    with home_at(tmp_path) as home:
        yield home
