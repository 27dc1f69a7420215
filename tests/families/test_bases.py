import pytest
import torch
from scipy import stats

from flowbench.families.bases import Base, LogisticBase, NormalBase

BASES = [(NormalBase, stats.norm), (LogisticBase, stats.logistic)]


@pytest.mark.parametrize(("kind", "reference"), BASES)
def test_density_is_the_closed_form(kind: type[Base], reference: object) -> None:
    z = torch.linspace(-40, 40, 30, dtype=torch.float64).reshape(10, 3)
    expected = reference.logpdf(z.numpy()).sum(1)  # type: ignore[attr-defined]
    assert kind(3).log_prob(z).numpy() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("kind", "reference"), BASES)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_follow_the_density(
    kind: type[Base], reference: object, temperature: float
) -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = kind(2).double().sample(5000, temperature, generator) / temperature
    assert drawn.dtype == torch.float64
    assert stats.kstest(drawn.flatten().numpy(), reference.cdf).pvalue > 1e-3  # type: ignore[attr-defined]
    assert abs(torch.corrcoef(drawn.T)[0, 1]) < 4 / 5000**0.5


def test_rsample_repeats_with_its_generator() -> None:
    draws = [NormalBase(2).rsample(3, generator=torch.Generator().manual_seed(4)) for _ in "ab"]
    assert torch.equal(*draws)
