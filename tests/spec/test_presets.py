"""Every file under configs/ and sweeps/ is sound, complete and commented."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flowbench.cli.configuring import run_spec
from flowbench.data.catalogue import DATA_SETS
from flowbench.data.module import open_data
from flowbench.families.registry import FAMILIES
from flowbench.families.schema import hyperparameter_model
from flowbench.spec.files import load, read_file
from flowbench.spec.run import DataSpec
from flowbench.spec.sweep import read_sweep
from flowbench.sweep.resolving import question
from flowbench.sweep.space import trial_count
from flowbench.trial.resolve import answer

ROOT = Path(__file__).parents[2]
REFUSED = {"gas"}
"""Data sets known by name only to be refused."""


def presets(folder):
    files = sorted(ROOT.glob(f"{folder}/*.yaml"))
    assert files
    return pytest.mark.parametrize("file", files, ids=[file.stem for file in files])


def test_each_family_and_each_data_set_has_its_preset():
    names = {file.stem for file in (ROOT / "configs/families").glob("*.yaml")}
    assert names == set(FAMILIES)
    names = {file.stem for file in (ROOT / "configs/data").glob("*.yaml")}
    assert names == set(DATA_SETS) - REFUSED | {"table", "images"}
    names = {file.stem for file in (ROOT / "sweeps").glob("*.yaml")}
    assert names == set(FAMILIES) | {"demo", "depth-split-lipschitz", "six-families"}


@presets("configs/families")
def test_a_family_preset_names_every_key_of_its_family_at_its_default(file):
    family = read_file(file)["family"]
    name = family.pop("name")
    fields = hyperparameter_model(FAMILIES[name]).model_fields
    assert list(family) == list(fields)
    # JSON has no tuples.
    assert family == json.loads(json.dumps({key: field.default for key, field in fields.items()}))


@presets("configs/families")
def test_a_family_preset_trains_on_vectors_and_on_images(file):
    for data in ("moons", "digits"):
        spec = run_spec([str(file), f"data.name={data}"])
        assert spec.family.name == file.stem
        again = run_spec([str(file), str(ROOT / f"configs/data/{data}.yaml")])
        assert again.data == spec.data


@presets("configs/densities")
def test_a_density_preset_trains_its_family_on_a_density(file):
    spec = run_spec([str(ROOT / "configs/data/rings.yaml"), str(file)])
    assert (spec.family.name, spec.data.name) == (file.stem, "rings")
    assert (spec.training.max_seconds, spec.evaluation.samples) == (110, 1024)


@presets("configs/data")
def test_a_data_preset_goes_with_a_family(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0)
    np.savetxt("table.csv", noise.normal(size=(50, 3)), delimiter=",", header="a,b,c", comments="")
    Path("images").mkdir()
    for i in range(20):
        pixels = noise.integers(0, 256, (8, 8)).astype(np.uint8)
        Image.fromarray(pixels).save(f"images/{i}.png")
    spec = run_spec([str(ROOT / "configs/families/realnvp.yaml"), str(file)])
    assert spec.data.name == file.stem or spec.data.path is not None
    if spec.data.path is not None:  # ours to try: what the file says is what the data set does
        assert len(open_data(spec.data, 0).info.event_shape) == (3 if file.stem == "images" else 1)


@presets("configs/training")
def test_a_training_preset_comes_last(file):
    files = [ROOT / "configs/families/glow.yaml", ROOT / "configs/data/digits.yaml", file]
    spec = run_spec([str(path) for path in files])
    given = read_file(file)["training"]
    assert {key: getattr(spec.training, key) for key in given} == {
        key: str(value) if key == "precision" else value for key, value in given.items()
    }


@presets("configs/*")
def test_every_preset_says_what_it_is_and_what_its_keys_mean(file):
    lines = file.read_text().splitlines()
    assert lines[0].startswith("# ")
    if file.parent.name == "families":
        keys = [line for line in lines if line.startswith("  ") and "name:" not in line]
        assert all("#" in line for line in keys)


@presets("sweeps")
def test_a_sweep_file_is_sound_down_to_the_keys_of_its_families(file):
    configuration = load([file])
    sweep = read_sweep(configuration.values, configuration.where)
    assert sweep.name == file.stem
    defaults = json.loads(answer(question(sweep)))
    assert set(defaults) == set(sweep.families)
    for family in sweep.families:
        assert "training.learning_rate" in sweep.space(family)


@presets("sweeps/benchmark")
def test_a_sweep_of_the_benchmark_is_sound_and_names_a_workstations_size(file):
    configuration = load([file])
    sweep = read_sweep(configuration.values, configuration.where)
    assert sweep.name == file.stem
    # What needs files is tried on a data set of the same kind that needs none.
    stand_in = {"mnist": "digits", None: "moons"}
    tried = tuple(DataSpec(name=stand_in.get(data.name, data.name)) for data in sweep.data)
    answered = json.loads(answer(question(sweep.model_copy(update={"data": tried}))))
    assert set(answered) == set(sweep.families)
    runs = sum(trial_count(sweep, name) + sweep.confirm.seeds for name in sweep.families)
    seconds = runs * len(sweep.data) * sweep.budget.per_trial / sweep.resources.slots
    assert seconds < 75 * 60  # which leaves time to measure within 90 minutes on two cores
    assert "On a workstation" in file.read_text() or sweep.name == "mnist-others"


def test_the_demo_is_of_all_six_families_on_digits_and_moons():
    sweep = read_sweep(load([ROOT / "sweeps/demo.yaml"]).values)
    assert list(sweep.families) == [
        "nice", "realnvp", "glow", "planar", "sylvester", "residual"
    ]  # fmt: skip
    assert list(sweep.data_labels) == ["digits", "moons"]
    assert sweep.confirm.seeds > 1
