"""`flowbench data`: what it prints, and one sentence for each mistake."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flowbench.cli import main
from flowbench.data.module import open_data
from flowbench.spec.run import DataSpec


@pytest.fixture
def flowbench(monkeypatch, capsys, tmp_path):
    """Return a function that runs the program in an empty directory: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["flowbench", *words])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


def test_a_table_is_described(flowbench, measurements) -> None:
    frame = pd.DataFrame(measurements, columns=["height", "weight", "[bold]age"])
    frame["weight"] = frame["height"] * 2
    frame.to_csv("people.csv", index=False)
    code, out, err = flowbench("data", "people.csv", "train_size=0.5")
    assert (code, err) == (0, "")
    for words in ("people", "320", "160", "height, weight, [bold]age", "standardise"):
        assert (words in out) == (words != "320")
    assert "full-covariance Gaussian" in out
    assert "warning: columns are nearly the same (|correlation|): 'height' and 'weight'" in out


def test_the_json_form_holds_what_the_record_gets(flowbench) -> None:
    code, out, _ = flowbench("data", "digits", "--json")
    told = json.loads(out)
    data = open_data(DataSpec(name="digits"), data_seed=0)
    assert code == 0
    assert told["sizes"] == {"train": 1257, "validation": 180, "test": 360}
    assert told["content_hash"] == data.info.content_hash
    assert told["event_shape"] == [1, 8, 8]
    assert sum(told["labels"].values()) == 1257
    assert 2.2 < told["baselines"]["gaussian_flow/test/bits_per_dim"] < 2.4


def test_a_density_shows_its_limits(flowbench) -> None:
    code, out, _ = flowbench("data", "moons")
    assert code == 0
    assert "-2.3939" in out  # the entropy
    assert "-2.4299" in out  # and 0.036 above it: the floor of volume-preserving flows


def test_the_data_seed_decides_the_split(flowbench, measurements) -> None:
    np.save("t.npy", measurements)
    hashes = {
        json.loads(flowbench("data", "t.npy", "--json", "--data-seed", seed)[1])["content_hash"]
        for seed in ("0", "1")
    }
    assert len(hashes) == 2


def _nan_in_row_17(measurements: np.ndarray) -> None:
    measurements[16, 1] = np.nan
    pd.DataFrame(measurements, columns=["a", "b", "c"]).to_csv("bad.csv", index=False)


def _constant_column(measurements: np.ndarray) -> None:
    measurements[:, 2] = 3
    pd.DataFrame(measurements, columns=["a", "b", "c"]).to_csv("bad.csv", index=False)


def _text_column(measurements: np.ndarray) -> None:
    frame = pd.DataFrame(measurements, columns=["a", "b", "c"])
    frame["c"] = "word"
    frame.to_csv("bad.csv", index=False)


def _empty_file(_: np.ndarray) -> None:
    Path("bad.csv").touch()


def _pickle(measurements: np.ndarray) -> None:
    Path("bad.csv").write_bytes(pickle.dumps(measurements))


def _object_array(_: np.ndarray) -> None:
    np.save("bad.npy", np.array([{}, []], dtype=object))


def _nothing(_: np.ndarray) -> None:
    pass


@pytest.mark.parametrize(
    ("make", "words", "sentence"),
    [
        (
            _nan_in_row_17,
            ["bad.csv"],
            "bad.csv: NaN in row 17, column 'b' (1 such",
        ),
        (_constant_column, ["bad.csv"], "bad.csv: column 'c' is constant (3); leave it out with"),
        (_text_column, ["bad.csv"], "bad.csv: column 'c' holds text (row 1: 'word'); leave it out"),
        (_empty_file, ["bad.csv"], "data.path = bad.csv: empty file"),
        (_pickle, ["bad.csv"], "data.path = bad.csv: a pickle, which is never loaded"),
        (_object_array, ["bad.npy"], "bad.npy: holds pickled objects, which are never loaded"),
        (_nothing, ["missing.csv"], "data.path = missing.csv: no such file or folder"),
        (_nothing, ["mnits"], "data.name = 'mnits': unknown (did you mean mnist?); allowed: 8gau"),
        (_nothing, ["gas"], "data.name = 'gas': published only as a pickle"),
        (_nothing, ["digits", "train_size=0"], "data.train_size = 0: input should be greater than"),
        (_nothing, ["digits", "trainsize=9"], "data.trainsize: unknown key (did you mean train_s"),
        (_nothing, ["digits", "context=[a]"], "data.context: for"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(
    flowbench, measurements, make, words: list[str], sentence: str
) -> None:
    make(measurements)
    code, out, err = flowbench("data", *words)
    assert code == 2
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_pictures_of_different_sizes_are_named(flowbench, write_pictures) -> None:
    write_pictures(["a.png"])
    folder = write_pictures(["b.png"], size=(5, 5))
    code, _, err = flowbench("data", str(folder))
    assert code == 2
    assert "b.png: 5x5 pixels where a.png has 6x5; all pictures need one size" in err


def test_the_program_itself_ends_in_a_sentence(tmp_path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "flowbench.cli", "data", "missing.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 2
    assert run.stderr == "flowbench: data.path = missing.csv: no such file or folder\n"
