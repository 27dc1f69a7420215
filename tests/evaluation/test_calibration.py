import numpy as np
import pytest
import torch
from planted import Affine, Faulty, Identity
from scipy import stats
from small_flows import Fragile

from flowbench.data.module import FlowData
from flowbench.data.source import Rows, Source, parts_as_given
from flowbench.evaluation.calibration import latent_calibration
from flowbench.families.bases import Base, LogisticBase
from flowbench.families.foreign import ForeignFlow


def of_latents(x):
    """A data set whose test points are these, in flow coordinates."""
    rows = {"train": Rows(x[:2]), "validation": Rows(x[:2]), "test": Rows(x)}
    return FlowData(Source("latents", "table", parts_as_given(rows)), (), 256, torch.float64)


def measured(x, base=None):
    """Calibration where the latents are the data themselves."""
    data = of_latents(x)
    flow = Faulty(data).double().eval()
    flow.base = base or flow.base
    return latent_calibration(flow, data, "test")


@pytest.fixture
def normal():
    return np.random.default_rng(0).normal(size=(3000, 6))


def test_latents_of_the_base_are_calibrated(normal):
    found = measured(normal)
    assert found["latent/ks_p_min"] > 0.05
    assert found["latent/radius_p"] > 0.05
    # Kolmogorov's limit: the median of sqrt(N) D is 0.83.
    assert found["latent/ks_median"] == pytest.approx(0.83 / 3000**0.5, rel=0.5)
    assert found["latent/points"] == 3000
    assert found["latent/nonfinite"] == 0


def test_the_statistics_are_the_largest_gaps_between_distribution_functions(table):
    """A trained-like flow on real rows: each gap from the sorted latents, p-values by scipy."""
    flow = Affine(table)
    found = latent_calibration(flow, table, "test")
    x = torch.cat([batch.x for batch in table.batches("test")]).double()
    with torch.no_grad():
        z = flow.encode(x)[0].numpy()
    n = len(z)
    below = np.sort(stats.norm.cdf(z), axis=0)
    step = np.arange(n + 1)[:, None] / n
    gaps = np.maximum(step[1:] - below, below - step[:-1]).max(0)
    assert found["latent/ks_max"] == pytest.approx(gaps.max(), rel=1e-12)
    assert found["latent/ks_median"] == pytest.approx(np.median(gaps), rel=1e-12)
    p = [stats.kstest(column, "norm").pvalue for column in z.T]
    holm = np.maximum.accumulate(np.sort(p) * np.arange(len(p), 0, -1)).clip(max=1)
    assert found["latent/ks_p_min"] == pytest.approx(holm[0], rel=1e-12)
    radius = stats.kstest((z**2).sum(1), stats.chi2(z.shape[1]).cdf)
    assert found["latent/radius_ks"] == pytest.approx(radius.statistic, rel=1e-9)
    assert found["latent/radius_p"] == pytest.approx(radius.pvalue, rel=1e-6)


def test_latents_that_are_a_fifth_too_wide_are_flagged(normal):
    found = measured(1.2 * normal)
    assert found["latent/ks_p_min"] < 1e-4
    assert found["latent/radius_p"] < 1e-6
    # Between N(0, 1.44) and N(0, 1) the gap is largest at x = 1.2 sqrt(2 log 1.2 / 0.44): 0.044.
    x = 1.2 * np.sqrt(2 * np.log(1.2) / 0.44)
    gap = stats.norm.cdf(x) - stats.norm.cdf(x / 1.2)
    assert found["latent/ks_median"] == pytest.approx(gap, abs=3 * 0.5 / 3000**0.5)


def test_one_wrong_dimension_of_many_is_flagged(normal):
    normal[:, 3] += 0.3
    found = measured(normal)
    assert found["latent/ks_p_min"] < 1e-6
    assert found["latent/ks_max"] > 3 * found["latent/ks_median"]


def test_dependence_that_no_dimension_shows_is_seen_in_the_radius(normal):
    """One absolute value with signs of its own in each dimension: every marginal is normal."""
    signs = np.sign(np.random.default_rng(1).normal(size=normal.shape))
    found = measured(np.abs(normal[:, :1]) * signs)
    assert found["latent/ks_p_min"] > 0.01
    assert found["latent/radius_p"] < 1e-100


def test_a_logistic_base_is_held_against_its_own_distributions():
    z = np.random.default_rng(2).logistic(size=(3000, 6))
    found = measured(z, LogisticBase(6))
    assert found["latent/ks_p_min"] > 0.05
    assert found["latent/radius_p"] > 0.05
    wide = measured(1.2 * z, LogisticBase(6))
    assert wide["latent/ks_p_min"] < 1e-4
    assert wide["latent/radius_p"] < 1e-6
    # The same latents are no normal ones.
    assert measured(z)["latent/ks_p_min"] < 1e-20
    assert found == measured(z, LogisticBase(6))


def test_latents_that_are_no_numbers_lie_beyond_every_number(normal):
    chosen = torch.from_numpy(np.sort(normal[:, 1])[::10].copy())

    class Breaking(Identity):
        def encode(self, x, context=None):
            z, log_det = super().encode(x)
            z[torch.isin(x[:, 1], chosen), 0] = torch.nan
            return z, log_det

    data = of_latents(normal)
    flow = Faulty(data)
    flow.flow = Breaking()
    found = latent_calibration(flow.double(), data, "test")
    assert found["latent/nonfinite"] == 0.1
    assert found["latent/ks_max"] == pytest.approx(0.1, abs=0.03)
    assert found["latent/radius_ks"] == pytest.approx(0.1, abs=0.03)
    assert found["latent/radius_p"] < 1e-10


def test_calibrated_latents_are_flagged_as_often_as_the_level_says():
    random = np.random.default_rng(3)
    found = [measured(random.normal(size=(150, 4))) for _ in range(200)]
    for name in ("latent/ks_p_min", "latent/radius_p"):
        flagged = np.mean([each[name] < 0.05 for each in found])
        assert flagged == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 200))


def test_a_base_that_is_not_known_is_held_against_nothing(normal):
    class Uniform(Base):
        pass

    assert measured(normal, Uniform(6)) == {}
    data = of_latents(normal)
    assert latent_calibration(ForeignFlow(Fragile, (6,)), data, "test") == {}
