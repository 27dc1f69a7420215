"""Saved and loaded, a flow gives the same numbers; anything else is one sentence."""

import pickle
import zipfile

import pytest
import torch

from flowbench.bijections.preprocess import Scale, Standardise
from flowbench.errors import InputError
from flowbench.families.checkpoint import VERSION, load_flow, read_about, save_flow
from flowbench.families.realnvp import RealNVP
from flowbench.families.registry import FAMILIES, create

STATISTICS = Standardise((3,), torch.tensor([1.0, 2, 3]), torch.tensor([2.0, 3, 4]))


def trained(name: str, shape: tuple[int, ...] = (3,), **options):
    """A flow a few optimiser steps away from where it started, in eval mode."""
    torch.manual_seed(0)
    flow = create(name, shape, depth=2, **options)
    x = torch.randn(32, *shape)
    flow.initialise(x)
    optimiser = torch.optim.Adam(flow.parameters(), 0.05)
    for _ in range(5):
        optimiser.zero_grad()
        flow.key_noise(0, 0, torch.arange(32))
        (-flow(x).mean()).backward()
        optimiser.step()
        flow.after_step()
    return flow.eval()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("shape", [(3,), (1, 4, 4)])
def test_a_loaded_flow_gives_the_same_bits_in_both_directions(tmp_path, name, shape):
    flow = trained(name, shape)
    save_flow(flow, tmp_path / "best.pt")
    torch.manual_seed(9)
    before = torch.get_rng_state()
    loaded = load_flow(tmp_path / "best.pt")
    assert torch.equal(torch.get_rng_state(), before)
    assert not loaded.training
    assert (loaded.family_name, loaded.event_shape) == (name, shape)
    x = torch.randn(8, *shape)
    with torch.no_grad():
        for flow_ in (flow, loaded):
            flow_.key_noise(0, 0, torch.arange(8))
        (z, log_det), (other_z, other_log_det) = flow.encode(x), loaded.encode(x)
        assert torch.equal(z, other_z)
        assert torch.equal(log_det, other_log_det)
        for one, other in zip(flow.decode(z), loaded.decode(z), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_preprocessing_context_and_hyperparameters_come_back(tmp_path, dtype):
    torch.manual_seed(0)
    flow = create(
        "realnvp", (3,), preprocess=STATISTICS, context_size=2, hidden=(7, 5), depth=3
    ).to(dtype)
    x, context = torch.randn(4, 3).to(dtype), torch.randn(4, 2).to(dtype)
    flow.initialise(x, context)
    flow.eval()
    save_flow(flow, tmp_path / "new folder" / "best.pt")
    loaded = load_flow(tmp_path / "new folder" / "best.pt")
    assert torch.equal(loaded(x, context), flow(x, context))
    assert loaded(x, context).dtype == dtype
    assert loaded.hyperparameters == flow.hyperparameters
    assert loaded.hyperparameters["hidden"] == (7, 5)
    assert [p.name for p in (tmp_path / "new folder").iterdir()] == ["best.pt"]


def test_actnorm_does_not_start_again_after_loading(tmp_path):
    flow = trained("glow")
    save_flow(flow, tmp_path / "best.pt")
    loaded = load_flow(tmp_path / "best.pt").train()
    loaded.initialise(100 + torch.randn(32, 3))
    assert all(
        torch.equal(one, other)
        for one, other in zip(flow.parameters(), loaded.parameters(), strict=True)
    )


def test_what_training_knew_is_read_without_the_flow(tmp_path):
    about = {"data": {"name": "moons"}, "levels": None, "columns": ["a", "b"], "seed": 3}
    save_flow(trained("nice"), tmp_path / "best.pt", about)
    assert read_about(tmp_path / "best.pt") == about
    save_flow(trained("nice"), tmp_path / "bare.pt")
    assert read_about(tmp_path / "bare.pt") == {}


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "best.pt"
    save_flow(trained("nice"), path)
    before = path.read_bytes()

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        save_flow(trained("realnvp"), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


class Malice:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('code from a checkpoint ran')",)


def flip(path, key, value):
    content = torch.load(path, weights_only=True)
    if value is None:
        del content[key]
    else:
        content[key] = value
    torch.save(content, path)


def corrupt(path):
    """Damage the weights' bytes inside the archive."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = min(info.header_offset for info in archive.infolist()) + 80
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(bytes(content))


BROKEN = {
    "missing": (lambda p: p.unlink(), "no such checkpoint file"),
    "folder": (lambda p: (p.unlink(), p.mkdir()), "no such checkpoint file"),
    "empty": (lambda p: p.write_bytes(b""), "truncated, or no checkpoint"),
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-200]), "truncated, or no checkpoint"),
    "text": (lambda p: p.write_text("family: nice"), "truncated, or no checkpoint"),
    "damaged": (corrupt, "damaged, or no checkpoint"),
    "pickle": (lambda p: p.write_bytes(pickle.dumps(Malice())), "truncated, or no checkpoint"),
    "code": (lambda p: torch.save({"format": Malice()}, p), "damaged, or no checkpoint"),
    "zip": (lambda p: zipfile.ZipFile(p, "w").writestr("a", "b"), "damaged, or no checkpoint"),
    "tensor": (lambda p: torch.save(torch.zeros(3), p), "no checkpoint of FlowBench"),
    "state": (lambda p: torch.save({"weight": torch.zeros(3)}, p), "no checkpoint of FlowBench"),
    "later": (lambda p: flip(p, "version", VERSION + 1), "written by a later FlowBench"),
    "key": (lambda p: flip(p, "family", None), "damaged: family: Field required"),
    "type": (lambda p: flip(p, "event_shape", "3"), "damaged: event_shape: "),
    "extra": (lambda p: flip(p, "colour", "red"), "damaged: colour: "),
    "family": (lambda p: flip(p, "family", "nive"), "family.name = 'nive': allowed: nice"),
    "range": (lambda p: flip(p, "hyperparameters", {"depth": 0}), "family.depth = 0"),
    "depth": (lambda p: flip(p, "hyperparameters", {"depth": 3}), "weights do not fit"),
    "shape": (lambda p: flip(p, "event_shape", [4]), "weights do not fit"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_is_no_whole_checkpoint_is_one_sentence_that_names_it(tmp_path, how):
    path = tmp_path / "best.pt"
    save_flow(trained("nice"), path)
    spoil, said = BROKEN[how]
    spoil(path)
    for read in (
        (load_flow, read_about)
        if how not in ("family", "range", "depth", "shape")
        else (load_flow,)
    ):
        with pytest.raises(InputError, match=said) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path}: ")
        assert "\n" not in str(raised.value)


def test_what_cannot_be_saved_is_said(tmp_path):
    path = tmp_path / "best.pt"
    with pytest.raises(InputError, match=r"only flows made by flowbench.families.create"):
        save_flow(RealNVP((3,)), path)
    with pytest.raises(InputError, match="dtype bfloat16 is not saved; allowed: float32, float64"):
        save_flow(create("nice", (3,)).bfloat16(), path)
    unknown = create("nice", (3,), preprocess=create("realnvp", (3,)).flow)
    with pytest.raises(InputError, match="is none of scale, logit, standardise"):
        save_flow(unknown, path)
    scaled = create("nice", (3,), preprocess=Scale((3,), 0, 2))
    save_flow(scaled, path)
    assert load_flow(path).preprocess.sequence[0].high == 2
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]
