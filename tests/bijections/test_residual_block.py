"""Residual blocks against autograd in float64, at parameters away from their start."""

import math

import pytest
import torch
from torch import Tensor, nn

from flowbench.bijections.residual import ResidualBlock
from flowbench.errors import InputError
from flowbench.networks.contractive import contractive_conv, contractive_mlp
from flowbench.networks.lipschitz import LipschitzLinear

SHAPES = [pytest.param((1,), id="1"), pytest.param((2,), id="2"), pytest.param((5,), id="5")]
SHAPES += [pytest.param((2, 3, 5), id="2x3x5")]


def block_on(shape: tuple[int, ...], seed: int = 0, lipschitz: float = 0.9, **options):
    """Return a perturbed block in eval mode, float64."""
    torch.manual_seed(seed)
    if len(shape) == 1:
        branch = contractive_mlp(shape[0], (16, 12), lipschitz, "lipswish")
    else:
        branch = contractive_conv(shape, (6, 6), lipschitz, "lipswish")
    block = ResidualBlock(branch, math.prod(shape), **options).double()
    with torch.no_grad():
        for parameter in block.parameters():
            if parameter.dim() > 1:  # else the layers' leading directions rarely meet
                nn.init.orthogonal_(parameter)
            spread = parameter.abs().mean().clamp(min=0.02)
            parameter.add_(0.5 * spread * torch.randn_like(parameter))
    return block.eval()


def linear_block(matrix: Tensor, **options) -> ResidualBlock:
    """Return x + A x, its branch's weight the matrix itself."""
    dim = len(matrix)
    layer = LipschitzLinear(dim, dim, 0.95).double()
    layer.weight.data.copy_(matrix)
    nn.init.zeros_(layer.bias)
    block = ResidualBlock(layer, dim, **options)
    block.eval()
    torch.testing.assert_close(layer.bounded_weight(), matrix)
    return block


def spectrum_matrix() -> Tensor:
    torch.manual_seed(3)
    basis = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64))[0]
    skew = torch.triu(0.1 * torch.randn(4, 4, dtype=torch.float64), 1)
    return basis @ (torch.diag(torch.tensor([-0.6, -0.5, 0.3, 0.2]).double()) + skew) @ basis.T


def exact_log_dets(function, x: Tensor) -> Tensor:
    jacobians = [
        torch.autograd.functional.jacobian(lambda t: function(t[None])[0], event).reshape(
            event.numel(), -1
        )
        for event in x
    ]
    return torch.linalg.slogdet(torch.stack(jacobians))[1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", ["exact", "roulette"])
def test_log_dets_match_autograd_and_decode_inverts_encode(shape, method):
    block = block_on(shape, log_det=method)
    assert block.log_det_label == "exact"
    x = 2 * torch.randn(6, *shape, dtype=torch.float64)
    z, log_det = block.encode(x)
    torch.testing.assert_close(log_det, exact_log_dets(block.encode_map, x), rtol=0, atol=1e-10)
    back, back_log_det = block.decode(z)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-10)
    torch.testing.assert_close(block.decode_map(z), back.detach(), rtol=0, atol=0)
    assert log_det.abs().max() > 0.02
    assert block.convergence.unconverged == 0


def test_the_log_det_of_decode_is_taken_at_the_recovered_point():
    block = block_on((2,))
    z = 3 * torch.randn(5, 2, dtype=torch.float64)
    torch.testing.assert_close(
        block.decode(z)[1], exact_log_dets(block.decode_map, z), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_the_exact_log_det_match_slogdet_of_autograds_jacobian(shape):
    block = block_on(shape, log_det="exact")
    x = torch.randn(2, *shape, dtype=torch.float64, requires_grad=True)
    found = torch.autograd.grad(
        block.encode(x)[1].sum(), [x, *block.parameters()], allow_unused=True
    )
    jacobians = [
        torch.autograd.functional.jacobian(
            lambda t: block.encode_map(t[None])[0], event, create_graph=True
        ).reshape(event.numel(), -1)
        for event in x
    ]
    log_dets = torch.linalg.slogdet(torch.stack(jacobians))[1]
    expected = torch.autograd.grad(log_dets.sum(), [x, *block.parameters()], allow_unused=True)
    for left, right in zip(found, expected, strict=True):
        if right is not None:
            torch.testing.assert_close(left, right, rtol=1e-8, atol=1e-9)


def test_decode_passes_gradcheck_in_its_input_and_its_parameters():
    block = block_on((3,), lipschitz=0.8, log_det="exact").train()
    z = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in block.named_parameters()]
    values = [parameter.detach().clone().requires_grad_() for parameter in block.parameters()]

    def decode(z: Tensor, *parameters: Tensor) -> tuple[Tensor, Tensor]:
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(
            Both(block), {f"block.{k}": v for k, v in given.items()}, z
        )

    assert torch.autograd.gradcheck(decode, (z, *values), atol=1e-6)


class Both(nn.Module):
    """Decode as a module's forward, as functional_call needs it."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.block.decode(z)


def test_roulette_in_training_is_unbiased_in_value_and_gradient():
    matrix = spectrum_matrix()
    block = linear_block(matrix, log_det="roulette").train()
    exact = float(torch.linalg.slogdet(torch.eye(4).double() + matrix)[1])
    expected = torch.linalg.inv(torch.eye(4).double() + matrix).T
    x, rows = torch.zeros(64, 4, dtype=torch.float64), torch.arange(64)
    values, gradients = [], []
    for step in range(1500):
        block.key_noise(5, step, rows)
        log_det = block.encode(x)[1].mean()
        values.append(log_det.detach())
        gradients.append(torch.autograd.grad(log_det, block.branch.weight)[0])
    for draws, truth in ((torch.stack(values), exact), (torch.stack(gradients), expected)):
        error = draws.std(0) / math.sqrt(len(draws))
        assert ((draws.mean(0) - truth).abs() < 4.5 * error).all()
    # The biased two-term series would be found out.
    two = float(matrix.trace() - (matrix @ matrix).trace() / 2)
    values_error = float(torch.stack(values).std()) / math.sqrt(1500)
    assert abs(two - exact) > 10 * values_error


@pytest.mark.parametrize("method", ["series", "roulette"])
def test_memory_of_a_training_step_does_not_grow_with_the_terms(method):
    def saved_by(terms: int) -> int:
        block = block_on((5,), log_det=method, terms=terms).train()
        block.key_noise(0, 0, torch.arange(32))
        saved = {}

        def pack(tensor: Tensor) -> Tensor:
            saved[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            log_det = block.encode(torch.zeros(32, 5, dtype=torch.float64) + 0.3)[1]
        assert log_det.requires_grad
        return sum(saved.values())

    few = saved_by(2)
    assert few > 0
    assert saved_by(40) == few


@pytest.mark.parametrize("method", ["exact", "series", "roulette"])
def test_gradients_are_right_under_weights_that_differ_between_samples(method):
    block = block_on((5,), log_det=method).train()
    x, rows = torch.randn(3, 5, dtype=torch.float64), torch.tensor([3, 1, 8])
    block.key_noise(0, 4, rows)
    weighted = (torch.tensor([0.0, 0.0, 2.0]) * block.encode(x)[1]).sum()
    together = torch.autograd.grad(weighted, list(block.parameters()), allow_unused=True)
    block.key_noise(0, 4, rows[2:])
    alone = torch.autograd.grad(
        2 * block.encode(x[2:])[1].sum(), list(block.parameters()), allow_unused=True
    )
    for left, right in zip(together, alone, strict=True):
        if right is not None:
            torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-12)
    assert max(float(g.abs().max()) for g in together if g is not None) > 1e-3


def test_value_in_training_is_the_series_not_the_surrogate():
    block = block_on((5,), log_det="roulette").train()
    x, rows = torch.randn(8, 5, dtype=torch.float64), torch.arange(8)
    block.key_noise(1, 2, rows)
    trained = block.encode(x)[1]
    block.key_noise(1, 2, rows)
    with torch.no_grad():
        plain = block.encode(x)[1]
    assert trained.requires_grad
    torch.testing.assert_close(trained.detach(), plain, rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", ["series", "roulette"])
def test_noise_belongs_to_the_row_whatever_the_batch(method):
    block = block_on((5,), log_det=method).train()
    x, rows = torch.randn(6, 5, dtype=torch.float64), torch.tensor([4, 9, 2, 0, 77, 5])
    block.key_noise(1, 3, rows)
    together = block.encode(x)[1]
    block.key_noise(1, 3, rows[[4, 1]])
    apart = block.encode(x[[4, 1]])[1]
    torch.testing.assert_close(apart, together[[4, 1]], rtol=1e-12, atol=1e-12)
    block.key_noise(1, 4, rows)
    assert not torch.allclose(block.encode(x)[1], together)
    block.key_noise(2, 3, rows)
    assert not torch.allclose(block.encode(x)[1], together)


def test_blocks_of_different_streams_have_different_noise():
    first, second = (block_on((5,), log_det="series", stream=s).train() for s in (0, 1))
    x, rows = torch.randn(6, 5, dtype=torch.float64), torch.arange(6)
    values = []
    for block in (first, second):
        block.key_noise(1, 3, rows)
        values.append(block.encode(x)[1])
    assert not torch.allclose(*values)


def test_training_without_a_key_draws_fresh_probes_and_evaluation_fixed_ones():
    block = block_on((2, 9, 9), log_det="roulette")
    x = torch.randn(3, 2, 9, 9, dtype=torch.float64)
    assert block.dim > 128
    assert block.log_det_label == "estimate"
    torch.testing.assert_close(block.encode(x)[1], block.encode(x)[1], rtol=0, atol=0)
    block.train()
    assert not torch.allclose(block.encode(x)[1], block.encode(x)[1])


def test_estimate_in_evaluation_agrees_with_the_exact_value_within_its_own_error():
    block = block_on((2, 9, 9), log_det="roulette")
    x = torch.randn(2, 2, 9, 9, dtype=torch.float64)
    block.method = "exact"
    exact = block.encode(x)[1]
    assert block.log_det_variance is None
    block.method = "roulette"
    estimates, variances = [], []
    for draw in range(60):
        block.key_noise(0, draw, torch.arange(2))
        estimates.append(block.encode(x)[1].detach())
        variances.append(block.log_det_variance)
    mean, variance = torch.stack(estimates).mean(0), torch.stack(variances).mean(0)
    assert ((mean - exact).abs() < 4.5 * (variance / 60).sqrt()).all()
    torch.testing.assert_close(torch.stack(estimates).var(0), variance, rtol=0.7, atol=0)


def test_the_variance_in_training_falls_with_the_number_of_probes():
    x = torch.randn(1, 9, dtype=torch.float64)
    variances = {}
    for probes in (1, 4):
        block = block_on((9,), log_det="series", terms=6, probes=probes).train()
        block.key_noise(0, 0, torch.arange(4000))
        estimates = block.encode(x.expand(4000, -1))[1].detach()
        variances[probes] = estimates.var()
        told = block.log_det_variance
        assert (told is None) == (probes == 1)
    assert float(variances[1] / variances[4]) == pytest.approx(4, rel=0.2)
    assert float(told.mean()) == pytest.approx(float(variances[4]), rel=0.2)


def test_the_variance_told_is_that_of_where_the_series_is_cut_too(monkeypatch):
    monkeypatch.setattr("flowbench.bijections.estimated.EVALUATION_TERMS", 1)
    # Signs know the traces of multiples of the identity: only the cut is random.
    branch = contractive_mlp(130, (), 0.6, "lipswish").double()
    (layer,) = (each for each in branch.modules() if isinstance(each, LipschitzLinear))
    with torch.no_grad():
        layer.weight.copy_(-0.6 * torch.eye(130))
    block = ResidualBlock(branch, 130, terms=1).eval()
    x, rows = torch.zeros(1, 130, dtype=torch.float64), torch.arange(4000)
    block.key_noise(0, 0, rows)
    estimates = block.encode(x.expand(4000, -1))[1].detach()
    told = block.log_det_variance
    exact = 130 * math.log1p(-0.6)
    assert abs(estimates.mean() - exact) < 4 * (told.mean() / 4000).sqrt()
    assert estimates.var() > 1.0
    assert abs(estimates.var() - told.mean()) < 4 * told.std() / 4000**0.5


def test_series_keeps_within_its_bias_bound_and_says_so():
    block = block_on((5,), log_det="series", terms=3)
    x = torch.randn(20, 5, dtype=torch.float64)
    bias = (block.encode(x)[1] - exact_log_dets(block.encode_map, x)).abs()
    assert block.log_det_label == "estimate"
    assert 0 < bias.max() <= block.bias_bound
    assert block.bias_bound == pytest.approx(5 * 0.9**4 / (4 * 0.1))
    assert block_on((5,), log_det="roulette").bias_bound == 0.0


@pytest.mark.parametrize(
    ("method", "dim", "training", "label"),
    [
        ("exact", 200, True, "exact"),
        ("roulette", 128, False, "exact"),
        ("roulette", 128, True, "estimate"),
        ("roulette", 129, False, "estimate"),
        ("series", 2, False, "estimate"),
    ],
)
def test_labels(method, dim, training, label):
    block = ResidualBlock(LipschitzLinear(dim, dim, 0.5), dim, log_det=method).train(training)
    assert block.log_det_label == label
    assert block.inverse_label == "iterative"


def test_maps_pay_for_no_log_det(monkeypatch):
    block = block_on((5,))
    calls = []
    original = block._log_det
    monkeypatch.setattr(block, "_log_det", lambda *given: calls.append(1) or original(*given))
    monkeypatch.setattr(
        block.branch, "linearise", lambda x: pytest.fail("a map needs no derivative")
    )
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(block.decode_map(block.encode_map(x)), x)
    assert calls == []


def test_certified_error_holds_in_float32_against_float64():
    block = block_on((5,), lipschitz=0.95)
    z = 3 * torch.randn(200, 5, dtype=torch.float64)
    reference = block.decode_map(z)
    for tolerance in (1e-2, 1e-4):
        block.tolerance = tolerance
        with torch.no_grad():
            rough = block.decode_map(z)
        error = (rough - reference).norm(dim=1)
        assert (error <= block.convergence.error).all()
        assert (block.convergence.error <= tolerance * rough.norm(dim=1)).all()
    block.tolerance = 0.0
    narrow = block.float().eval()
    with torch.no_grad():
        single = narrow.decode_map(z.float())
    assert narrow.convergence.unconverged == 0
    assert single.dtype == torch.float32
    assert (single - reference).abs().max() < 1e-4


def test_iterations_are_reported_sample_by_sample_and_grow_with_the_accuracy_asked():
    block = block_on((5,), lipschitz=0.9)
    z = 3 * torch.randn(50, 5, dtype=torch.float64)
    counts = []
    for tolerance in (1e-2, 1e-5, 0.0):
        block.tolerance = tolerance
        with torch.no_grad():
            block.decode_map(z)
        assert block.convergence.iterations.shape == (50,)
        counts.append(float(block.convergence.iterations.double().mean()))
    assert 0 < counts[0] < counts[1] < counts[2] < 60


def test_decode_agrees_with_bisection_in_one_dimension():
    block = block_on((1,), lipschitz=0.95)
    z = torch.linspace(-4, 4, 41, dtype=torch.float64)[:, None]
    low, high = z - 10, z + 10
    with torch.no_grad():
        for _ in range(60):
            middle = (low + high) / 2
            above = block.encode_map(middle) > z
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        x = block.decode_map(z)
    assert ((x - middle).abs()[:, 0] <= block.convergence.error + 1e-14).all()
    assert block.convergence.error.max() < 1e-12


def test_float32_and_float64_likelihoods_agree():
    block = block_on((5,))
    x = torch.randn(50, 5, dtype=torch.float64)
    wide = block.encode(x)[1]
    narrow = block.float().encode(x.float())[1]
    assert narrow.dtype == torch.float32
    torch.testing.assert_close(narrow.double(), wide, rtol=0, atol=1e-5)


def test_unconverged_samples_are_counted():
    block = block_on((5,), lipschitz=0.98)
    block.max_iterations = 2
    z = torch.randn(7, 5, dtype=torch.float64)
    block.decode_map(z)
    assert block.convergence.unconverged == 7


def test_autocast_does_not_reach_the_block():
    block = block_on((5,)).float()
    x = torch.randn(6, 5)
    expected = block.encode(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = block.encode(x)
        back = block.decode(found[0])[0]
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-5)


def test_certificate_tells_a_contraction_from_a_map_that_is_none():
    block = block_on((5,))
    certificate = block.certificate()
    assert certificate.certified
    assert certificate.bound <= 0.9 * (1 + 1e-9)
    x = torch.randn(50, 5, dtype=torch.float64)
    assert block.measured_lipschitz(x).max() <= certificate.bound
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(20 * torch.randn_like(parameter))  # u and v are stale now
    assert not block.certificate().certified
    block.after_step()
    assert block.certificate().bound < 0.95


def test_saved_and_loaded_blocks_give_the_same_numbers(tmp_path):
    block = block_on((2, 3, 5))
    x = torch.randn(4, 2, 3, 5, dtype=torch.float64)
    torch.save(block.state_dict(), tmp_path / "block.pt")
    other = block_on((2, 3, 5), seed=9)
    other.load_state_dict(torch.load(tmp_path / "block.pt", weights_only=True))
    torch.testing.assert_close(other.encode(x)[0], block.encode(x)[0], rtol=0, atol=0)


def test_a_context_and_a_bound_of_one_are_refused():
    block = block_on((2,))
    with pytest.raises(InputError, match="takes no context"):
        block.encode(torch.zeros(1, 2).double(), torch.zeros(1, 1))
    with pytest.raises(ValueError, match="below 1"):
        ResidualBlock(LipschitzLinear(2, 2, 1.0), 2)
