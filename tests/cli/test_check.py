"""`flowbench check`: families, users' own classes, trained models."""

import json

import pytest
import torch

from flowbench.conformance.checks import CHECKS
from flowbench.conformance.perturb import SCALES, perturb
from flowbench.families.checkpoint import save_flow
from flowbench.families.registry import create
from flowbench.run_directory import find_model

pytestmark = pytest.mark.xdist_group("cli")


def test_a_family_is_checked_on_vectors_and_images_at_every_scale(flowbench_command):
    said = flowbench_command("check", "planar", "--json")
    results = json.loads(said.out)
    assert said.code == 0
    assert {result["group"] for result in results} == {"planar on vectors", "planar on images"}
    assert {result["scale"] for result in results} == set(SCALES)
    assert {result["verdict"] for result in results} == {"passed"}
    assert {result["check"] for result in results} == set(CHECKS) - {
        "estimate",  # of a log-det that is exact
        "estimate gradient",
        "context used",  # planar layers take none
    }


def test_what_a_users_class_lacks_is_said_and_does_not_fail(flowbench_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    said = flowbench_command("check", "flows_to_check:DensityAlone")
    assert said.code == 0
    for kind in ("vectors", "images"):
        assert f"flows_to_check:DensityAlone on {kind}" in said.out
    assert "not checked: no encode" in said.out
    assert "not checked: no decode" in said.out
    assert "failed" not in said.out + said.err


def test_a_users_mistake_is_found_and_named(flowbench_command):
    said = flowbench_command("check", "flows_to_check:Bent")
    assert said.code == 1
    assert "encode log-det failed at scale 2" in said.err
    assert "careless = True" in said.err
    assert "careless = False" not in said.err
    assert "not checked: flows_to_check:Bent cannot be built on images: rows of a table" in said.err
    assert "Traceback" not in said.err


def test_a_trained_run_is_checked_on_held_out_data(flowbench_command, table_run):
    _, run = table_run
    said = flowbench_command("check", run, "--json")
    results = json.loads(said.out)
    assert (said.code, said.err.strip()) == (0, "")
    assert {result["scale"] for result in results} == {None}
    assert {"data round trip", "encode log-det", "integral"} <= {
        result["check"] for result in results if result["verdict"] == "passed"
    }


def test_a_checkpoint_made_by_hand_is_checked_at_its_own_samples(flowbench_command, tmp_path):
    torch.manual_seed(0)
    preprocess = [{"name": "scale", "low": 0, "high": 16}, {"name": "logit", "lam": 0.01}]
    flow = create("glow", (1, 4, 4), preprocess=preprocess, depth=1, width=8)
    perturb(flow, 0.5)
    save_flow(flow, tmp_path / "glow.pt")
    said = flowbench_command("check", tmp_path / "glow.pt")
    assert said.code == 0, said
    assert "checked at its own samples alone" in said.err
    assert "glow.pt" in said.out.replace("\n", "")


def test_weights_that_make_a_flow_singular_are_told(flowbench_command, table_run, tmp_path):
    flow = create("glow", (3,), permutation="conv", depth=1, width=8)
    with torch.no_grad():
        for name, parameter in flow.named_parameters():
            if name.endswith("matrix"):
                parameter.zero_()
    save_flow(flow, tmp_path / "singular.pt")
    said = flowbench_command("check", tmp_path / "singular.pt")
    assert said.code == 1
    assert "matrix is singular" in said.err
    assert "Traceback" not in said.err


def test_a_word_that_is_nothing_is_refused(refused):
    sentence = refused("check", "glwo")
    assert "glwo: neither a family (nice, realnvp, " in sentence


def test_a_class_that_cannot_be_built_or_found_is_refused(refused):
    assert "not today" in refused("check", "flows_to_check:Unbuildable")
    assert "cannot import no_such_module" in refused("check", "no_such_module:Flow")


def test_a_truncated_checkpoint_is_refused(refused, table_run, tmp_path):
    whole = find_model(table_run[1]).read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    assert "half.pt: truncated" in refused("check", tmp_path / "half.pt")
