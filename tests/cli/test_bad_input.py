"""Every mistake of a user's ends in one sentence and exit code 2, never in a traceback."""

import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from flowbench.run_directory import find_model

pytestmark = pytest.mark.xdist_group("cli")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.learning_rat=1", "training.learning_rat: unknown key (did you mean"),
        ("trainin.batch_size=1", "trainin: unknown key"),
        ("family.dept=2", "family.dept"),
        ("training.batch_size=0", "training.batch_size = 0"),
        ("training.learning_rate=-1e-3", "training.learning_rate = -0.001"),
        ("family.depth=0", "family.depth = 0"),
        ("training.max_epochs=many", "training.max_epochs = 'many'"),
        ("family.hidden=wide", "family.hidden = 'wide'"),
        ("family.name=nope", "'nope'"),
        ("family.name=no.such:Module", "cannot import"),
        ("data={name: nope, path: null}", "data.name = 'nope': unknown"),
        ("data.path=nope.csv", "nope.csv: no such file"),
        ("data.name=moons", "exactly one of"),
        ("=3", "key=value"),
    ],
)
def test_a_configuration_with_a_mistake_names_it(configuration, workplace, refused, override, said):
    before = set((workplace / "runs").glob("*"))
    assert said in refused("train", configuration, override)
    assert set((workplace / "runs").glob("*")) == before


def test_a_mistake_in_a_file_is_said_with_the_file(configuration, tmp_path, refused):
    (tmp_path / "mine.yaml").write_text("training: {batch_size: small}\n")
    sentence = refused("train", configuration, tmp_path / "mine.yaml")
    assert f"{tmp_path / 'mine.yaml'}: training.batch_size = 'small'" in sentence


@pytest.mark.parametrize(
    ("text", "said"), [("a: [1", "not a configuration file"), ("- 1\n", "a mapping of keys")]
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path, refused, text, said):
    (tmp_path / "mine.yaml").write_text(text)
    assert said in refused("train", tmp_path / "mine.yaml")


def test_a_missing_configuration_or_section_is_refused(configuration, tmp_path, refused):
    assert "no such file" in refused("train", tmp_path / "none.yaml")
    assert "no section `family`" in refused("train", "data.name=moons")


def test_what_only_the_data_can_refuse_is_refused_as_well(configuration, refused):
    assert "checkerboard" in refused("train", configuration, "family.split=checkerboard")


@pytest.mark.parametrize("command", ["evaluate", "sample", "score"])
def test_a_model_that_is_not_there_is_refused(workplace, command, refused, tmp_path):
    more = {"evaluate": [], "sample": ["-o", tmp_path / "x.npy"]}
    arguments = more.get(command, [workplace / "rows.csv", "-o", tmp_path / "x.npy"])
    assert "neither a checkpoint file nor a run" in refused(command, "nobody", *arguments)


def test_a_truncated_or_foreign_checkpoint_is_refused(table_run, refused, tmp_path):
    whole = find_model(table_run[1]).read_bytes()
    (tmp_path / "half.pt").write_bytes(whole[: len(whole) // 2])
    assert "truncated" in refused("evaluate", tmp_path / "half.pt")
    (tmp_path / "text.pt").write_text("weights")
    assert "no checkpoint" in refused("evaluate", tmp_path / "text.pt")


def test_a_file_of_other_columns_is_not_scored(table_run, refused, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    sentence = refused("score", table_run[1], tmp_path / "other.csv", "-o", tmp_path / "x.csv")
    assert "no column 'count'" in sentence
    assert "no such file" in refused("score", table_run[1], "none.csv", "-o", tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("name", "said"),
    [("x.png", ".npy, .csv"), ("x", ".npy, .csv"), ("none/x.npy", "no such folder")],
)
def test_samples_of_a_table_have_no_other_format(table_run, refused, tmp_path, name, said):
    assert said in refused("sample", table_run[1], "-o", tmp_path / name)


def test_images_are_no_table(image_run, refused, tmp_path):
    assert ".npy, .png" in refused("sample", image_run.id, "-o", tmp_path / "x.csv")


def test_options_out_of_range_are_refused(table_run, refused, tmp_path):
    assert "-n" in refused("sample", table_run[1], "-o", tmp_path / "x.npy", "-n", 0)
    hot = refused("sample", table_run[1], "-o", tmp_path / "x.npy", "--temperature", -1)
    assert "--temperature" in hot
    assert "--split" in refused("evaluate", table_run[1], "--split", "train")


@pytest.fixture
def no_room():
    """Let this process write no file larger than 20 kB, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, ignored)


def test_an_output_that_does_not_fit_leaves_the_old_file(table_run, refused, tmp_path, no_room):
    np.save(tmp_path / "x.npy", np.zeros(3))
    sentence = refused("sample", table_run[1], "-n", 9000, "-o", tmp_path / "x.npy")
    assert "cannot be written" in sentence
    assert np.load(tmp_path / "x.npy").shape == (3,)
    assert len(list(tmp_path.iterdir())) == 1


def test_no_room_in_the_run_directory_is_one_sentence_that_says_how_to_go_on(
    configuration, workplace
):
    """The weights of this model do not fit into a file of 200 kB."""
    done = subprocess.run(
        [sys.executable, "-m", "flowbench.cli", "train", configuration, "family.hidden=[256,256]"],
        capture_output=True,
        text=True,
        env=os.environ,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert done.returncode == 2, done.stderr
    sentence = done.stderr.strip().splitlines()[-1]
    assert "no space left" in sentence
    assert "flowbench train" in sentence
    assert "Traceback" not in done.stderr
