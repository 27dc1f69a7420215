"""The speed benchmark: peers' architectures are FlowBench's, and every table is filled."""

import math

import pytest
import torch

from benchmarks.speed.architectures import glow, planar, realnvp, sylvester
from benchmarks.speed.checkpoint import architecture, digits, trained
from benchmarks.speed.fixed_points import fixed_points, stretched
from benchmarks.speed.log_det_cost import CLAIMED, exponents, log_det_cost, slope
from benchmarks.speed.memory_depth import draw, memory_depth
from benchmarks.speed.peers import freia, nflows, normflows, torchflows, zuko
from benchmarks.speed.probes import probes
from benchmarks.speed.race import interleaved, ratio
from benchmarks.speed.residual import enough_terms, residual
from benchmarks.speed.reversible_step import reversible_step
from benchmarks.speed.sampling_cost import FAMILIES, sampling_cost
from benchmarks.speed.table import COLUMNS, Effort, rows
from benchmarks.speed.targets import RESIDUAL, TARGETS, targets
from benchmarks.tables import Table
from flowbench.bijections.actnorm import ActNorm
from flowbench.bijections.coupling import AffineCoupling
from flowbench.bijections.diagonal import Diagonal

SMALL = realnvp(6, dim=8, depth=4, width=16)
IMAGES = glow(side=8, depth=2, width=8, batch=4)


def own(work):
    """Return a perturbed flow in float64 whose log-scales are in effect not bounded."""
    flow = work.flow().double().eval()
    for layer in flow.bijections():
        if isinstance(layer, AffineCoupling):
            layer.scale_bound = 1e4
    return flow, work.points().double()


@pytest.mark.parametrize("peer", SMALL.peers, ids=lambda peer: peer.__module__.split(".")[-1])
def test_realnvp_of_every_peer_is_the_same_density(peer):
    flow, x = own(SMALL)
    built = peer(flow)
    torch.testing.assert_close(built.log_prob(x), flow.log_prob(x), rtol=0, atol=1e-7)
    assert count(built.module) == count(flow)


@pytest.mark.parametrize("peer", [zuko.realnvp, nflows.realnvp, freia.realnvp])
def test_peers_that_bound_log_scales_bound_them_alike(peer):
    flow = SMALL.flow().double().eval()
    with torch.no_grad():
        for layer in flow.bijections():
            if isinstance(layer, AffineCoupling):
                layer.conditioner.rest[-1].weight.mul_(20)
    x = SMALL.points().double()
    torch.testing.assert_close(peer(flow).log_prob(x), flow.log_prob(x), rtol=0, atol=1e-9)


def test_glow_of_normflows_is_the_same_density_and_nflows_has_the_same_networks():
    flow, x = own(IMAGES)
    built = normflows.glow(flow)
    torch.testing.assert_close(built.log_prob(x), flow.log_prob(x), rtol=0, atol=1e-7)
    assert count(built.module) == count(flow)
    other = nflows.glow(flow)
    assert other.log_prob(x).shape == (4,)
    networks = sum(count(c.conditioner) for c in flow.bijections() if isinstance(c, AffineCoupling))
    inside = sum(count(m) for m in other.module.modules() if isinstance(m, nflows.WithoutContext))
    assert inside == networks


def test_planar_layers_of_normflows_are_the_same_map():
    flow, x = own(planar(dim=6, depth=3, batch=8))
    with torch.no_grad():
        for layer in flow.bijections():
            if isinstance(layer, ActNorm | Diagonal):
                for parameter in layer.parameters():
                    parameter.zero_()
    log_prob = normflows.planar(flow).log_prob(x)
    torch.testing.assert_close(log_prob, flow.log_prob(x), rtol=0, atol=1e-10)


def test_residual_flows_of_peers_are_the_same_map_and_density():
    torch.manual_seed(0)
    flow = trained().eval().double()
    x = digits(16).double()
    z = flow.encode(x)[0]
    exact = flow.log_prob(x)
    nf, fr = normflows.ResidualPeer(flow), freia.ResidualPeer(flow)
    nf.tolerance = 1e-24
    fr.set_iterations(200)
    for peer, log_prob in ((nf, nf.flow.log_prob), (fr, fr.log_prob)):
        with torch.no_grad():
            torch.testing.assert_close(peer.decode(z), x, rtol=0, atol=1e-6)
        # One probe a draw: the mean of many is the log-density, and of one term alone is not.
        means = {}
        for terms in (1, 30):
            peer.truncate(terms)
            draws = torch.stack([log_prob(x).detach() for _ in range(60)]).mean(1)
            means[terms] = (draws.mean() - exact.mean()) / (draws.std() / len(draws) ** 0.5)
        assert abs(means[30]) < 4
        assert abs(means[1]) > 8


def test_a_race_has_a_row_for_everyone_and_ratios_where_there_is_something_to_time():
    effort = Effort(rounds=2, seconds=0.0, compiled=False)
    for work in (SMALL, sylvester(dim=6, depth=2, units=3, batch=8)):
        table = [dict(zip(COLUMNS, row, strict=True)) for row in rows(work, effort)]
        names = {row["library"] for row in table}
        assert {
            "FlowBench",
            *(p.__module__.split(".")[-1].lower() for p in work.peers),
        } <= names | {name.lower() for name in names}
        assert table[0]["step: ratio"] == "1.00 (1.00-1.00)"
        for row in table:
            one_way = row["library"] == "torchflows" and work is not SMALL
            assert (row["sample: ratio"] is None) == one_way
            assert row["log_prob, ms"] > 0
            assert row["peak of a step, MiB"] > 0


def test_targets_stand_beside_what_was_reached_the_floor_and_the_best_peer():
    ratios = {
        "networks alone": "1.00 (1.00-1.00)",
        "FlowBench's networks alone": "0.98 (0.97-0.99)",
        "FlowBench": "1.17 (1.15-1.19)",
        "zuko": "1.6 (1.5-1.7)",
        "FrEIA": "1.2 (1.1-1.3)",
        "nflows": None,
    }
    found = [
        (work, library, mode, ratio, ratio, ratio, 1.0, 1.0, 1.0, 1.0)
        for work, mode in TARGETS
        for library, ratio in ratios.items()
    ]
    raced = Table("architectures", "", COLUMNS, found)
    what = [*RESIDUAL, "log-density, as evaluated"]
    columns = ("what", "library", "ratio to networks alone")
    cells = [(w, library, "99 (99-99)" if "evaluated" in w else "11 (10-12)") for w in what
             for library in ("networks alone", "FlowBench", "FrEIA")]  # fmt: skip
    table = targets(raced, Table("residual", "", columns, cells))
    rows = {row[:3]: row[3:] for row in table.rows}
    assert len(rows) == 3 * len(TARGETS) + 3
    work = next(iter(TARGETS))[0]
    assert rows[work, "step", "eager"] == (1.15, 1.17, "no", 0.98, "1.20 FrEIA")
    assert rows[work, "log_prob", "eager"][:3] == (1.2, 1.17, "yes")
    assert rows["Residual flow", "log-density", "eager"][:3] == (12.0, 11.0, "yes")


def test_rounds_are_interleaved_and_their_ratios_have_an_interval():
    order = []
    interleaved({k: lambda k=k: order.append(k) for k in "ab"}, rounds=4, seconds=60)
    assert "".join(order[6:]) == "abbaabba"
    found = ratio([2.0, 4.0, 6.0, 8.0, 10.0, 12.0], [2.0] * 6)
    assert (found.median, found.low, found.high) == (3.5, 1.0, 6.0)


def test_the_slope_is_that_of_a_power():
    assert slope([(d, 3 * d**2.5) for d in (16, 64, 256)]) == pytest.approx(2.5)


def test_the_tables_of_residual_flows_are_filled():
    (raced,) = residual(quick=True)
    assert len(raced.rows) == 3 + 4 + 4 + 4 + 4
    table = [dict(zip(raced.columns, row, strict=True)) for row in raced.rows]
    assert all(row["ms"] > 0 for row in table if row["how"] != "not reached")
    assert all((row["peak, MiB"] or 0) > 0 for row in table if row["what"] == "training step")
    solved = fixed_points(quick=True)
    assert [row[:2] for row in solved.rows[:2]] == [("0.5", "plain"), ("0.5", "Anderson(2)")]
    assert all(float(row[-1]) <= float(row[-2]) <= 1.001e-5 for row in solved.rows)
    again = reversible_step(quick=True)
    assert all(row[2] > 0 and row[3] > 0 for row in again.rows)


def test_the_other_tables_are_filled(tmp_path):
    costs = log_det_cost(quick=True)
    assert len(exponents(costs).rows) == len(CLAIMED)
    sampled = sampling_cost(quick=True)
    assert [row[0] for row in sampled.rows] == list(FAMILIES)
    assert all(row[3] is not None for row in sampled.rows if row[0] in ("planar", "residual"))
    errors = [row[2] for row in probes(quick=True).rows]
    assert errors[0] / errors[2] == pytest.approx(2, rel=0.2)
    assert errors[0] / errors[2] != pytest.approx(2, rel=1e-6)  # measured, not computed
    memory = memory_depth(quick=True)
    assert all(row[2] > 0 and row[3] > 0 for row in memory.rows)
    draw(memory, tmp_path / "memory.svg")
    assert (tmp_path / "memory.svg").read_text().count("<svg") == 1


def test_stretched_branches_use_their_whole_bound():
    branch = next(architecture(1, 16).blocks()).branch
    assert stretched(branch, 0.97).norm_bound() == pytest.approx(0.97, rel=1e-4)


def test_enough_terms_have_the_bias_that_was_asked_for():
    flow = architecture(2, 16).eval()
    x = digits(32)
    flow.initialise(x)
    terms, bias, error = enough_terms(flow, x)
    assert 1 <= terms <= 20
    assert bias <= 1e-4
    assert 0 < error < math.inf
    assert all(block.method == "roulette" for block in flow.blocks())


def test_torchflows_has_as_many_layers():
    flow = planar(dim=6, depth=3, batch=8).flow()
    assert len(list(torchflows.planar(flow).module.parameters())) == 9


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())
