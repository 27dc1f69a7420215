"""Published figures beside those measured here."""

import pandas as pd
import pytest

from flowbench.compare.columns import UNKNOWN
from flowbench.data.catalogue import DATA_SETS
from flowbench.families.registry import family_class
from flowbench.report.published import PUBLISHED, published_table


def _rows(data, split="test"):
    rows = [("glow", 1.1712, 0.0021), ("planar", 2.345, 0.004)]
    return pd.DataFrame(
        [
            {"data": data, "family": family, "bits_per_dim": b, "bits_per_dim_se": se}
            | {"split": split}
            for family, b, se in rows
        ]
    )


def _cells(titled, model):
    return next([c.text for c in row] for row in titled.table.rows if row[0].text == model)


@pytest.mark.parametrize(
    ("split", "here"), [("test", "1.1712 ± 0.0021"), ("val", "1.1712 ± 0.0021 (val)")]
)
def test_each_figure_stands_beside_the_familys_own(split, here):
    (titled,) = published_table(_rows("mnist", split))
    _, published, family, ours, differs, source = _cells(titled, "Glow")
    assert (published, family, ours) == ("1.05", "glow", here)
    assert "32 x 32" in differs
    assert "FFJORD" in source
    # A family that was not run has nothing of its own, and none is left out for it.
    assert _cells(titled, "Residual Flow")[1:4] == ["0.97", "residual", UNKNOWN]
    assert len(titled.table.rows) == len(titled.data) == len(PUBLISHED["mnist"])


def test_data_of_which_nothing_is_published_have_no_table():
    assert published_table(_rows("moons")) == []


def test_every_figure_names_what_exists():
    for data, figures in PUBLISHED.items():
        assert data in DATA_SETS
        for figure in figures:
            assert not figure.family or family_class(figure.family)
            assert figure.differs
            assert figure.source
