import pytest

from flowbench.cli.configuring import data_spec, run_spec
from flowbench.errors import InputError


def test_the_keys_of_a_data_set_may_be_given_with_or_without_their_section():
    bare = data_spec("name", "moons", ["train_size=100", "context=[a]"])
    assert bare == data_spec("name", "moons", ["data.train_size=100", "data.context=[a]"])
    assert (bare.name, bare.train_size, bare.context) == ("moons", 100, ["a"])


@pytest.mark.parametrize(
    ("override", "said"),
    [("train_siz=1", "data.train_siz: unknown key"), ("train_size=0", "data.train_size = 0")],
)
def test_a_wrong_key_of_a_data_set_is_named(override, said):
    with pytest.raises(InputError, match=said):
        data_spec("name", "moons", [override])


def test_a_name_that_looks_like_a_number_is_taken_as_it_is():
    assert data_spec("path", "1e3", []).path == "1e3"


def test_a_run_is_described_in_full_whatever_was_left_out():
    spec = run_spec(["family.name=nice", "data.name=moons"])
    again = run_spec(["family={name: nice, depth: 8}", "data.name=moons"])
    assert spec.family.hyperparameters["depth"] == 8
    assert "hidden" in spec.family.hyperparameters
    assert spec.hash == again.hash


def test_later_files_and_then_keys_win(tmp_path):
    (tmp_path / "a.yaml").write_text("family: {name: nice}\ntraining: {batch_size: 8}\n")
    (tmp_path / "b.yaml").write_text("data: {name: moons}\ntraining: {batch_size: 9}\n")
    files = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    assert run_spec(files).training.batch_size == 9
    assert run_spec([*files, "training.batch_size=10"]).training.batch_size == 10
