"""The table of other libraries' flows says what is so of flows whose faults are shown here."""

import torch
from torchflows.bijections.finite.residual.radial import Radial

from benchmarks.peer_checks import LIBRARIES, described, flows, row
from benchmarks.peer_flows.zuko import maf
from flowbench.conformance.perturb import perturb


def test_a_sound_flow_passes():
    sentence, made, verdict, said = row("zuko", "maf")
    assert (verdict, said) == ("passes", "")
    assert int(made) > 20
    assert "MAF" in sentence
    torch.manual_seed(0)
    flow = maf((3,)).double()
    perturb(flow, 1.0)
    x = torch.randn(3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: flow.encode(x[None])[0][0], x)
    torch.testing.assert_close(
        flow.encode(x[None])[1][0], torch.linalg.slogdet(jacobian)[1], rtol=0, atol=1e-12
    )


def test_a_log_det_that_is_wrong_is_told():
    torch.manual_seed(0)
    layer = Radial(torch.Size((3,))).double()
    z = torch.randn(1, 3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda z: layer.inverse(z[None])[0][0], z[0])
    error = layer.inverse(z)[1][0] - torch.linalg.slogdet(jacobian)[1]
    assert abs(float(error)) > 0.01
    _, made, verdict, said = row("torchflows", "radial")
    assert (made, verdict) == ("2", "fails")
    assert said.startswith("decode log-det ")


def test_a_float64_model_whose_log_dets_are_float32_is_told():
    assert "dtype kept" in row("normflows", "realnvp_by_its_own_methods")[3]
    assert "dtype kept" not in row("normflows", "realnvp")[3]


def test_every_flow_says_what_of_its_library_it_is():
    for library in LIBRARIES:
        words = [described(library, flow) for flow in flows(library)]
        assert len(set(words)) == len(words) > 4
        assert all("`" in each for each in words), words
