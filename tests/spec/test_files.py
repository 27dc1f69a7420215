import json
from pathlib import Path

import pytest

from flowbench.errors import InputError
from flowbench.spec.files import load, parse_scalar
from flowbench.spec.run import RunSpec
from flowbench.spec.validation import validated


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("-2E5", -2e5),
        ("off", "off"),
        ("no", "no"),
        ("true", True),
        ("null", None),
        ("16", 16),
        ("[64, 64]", [64, 64]),
        ("2026-01-02", "2026-01-02"),
        ("package.module:Class", "package.module:Class"),
    ],
)
def test_scalars_are_read_as_people_mean_them(text: str, value: object) -> None:
    assert parse_scalar(text) == value


def test_files_merge_left_to_right_and_overrides_come_last(tmp_path: Path) -> None:
    first = write(tmp_path / "a.yaml", "family: {name: glow, depth: 4}\ntraining: {batch_size: 8}")
    second = write(tmp_path / "b.yaml", "family: {depth: 6}\ndata: {name: digits}")
    merged = load([first, second], ["family.depth=16", "training.learning_rate=1e-2"])
    assert merged.values["family"] == {"name": "glow", "depth": 16}
    assert merged.values["training"] == {"batch_size": 8, "learning_rate": 1e-2}
    assert merged.where["training.batch_size"] == str(first)
    assert merged.where["family.depth"] == "command line"


def test_json_is_read_as_json(tmp_path: Path) -> None:
    path = write(tmp_path / "spec.json", json.dumps({"family": {"name": "nice"}}))
    assert load([path]).values == {"family": {"name": "nice"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "training: {batch_sise: 8}",
            "training.batch_sise: unknown key (did you mean batch_size?)",
        ),
        ("training: {batch_size: 0}", "training.batch_size = 0: input should be greater than"),
        ("training: {batch_size: many}", "training.batch_size = 'many': input should be a valid"),
        ("training: {optimizer: sgd}", "'adam' or 'adamax'"),
        ("data: {path: x.csv}", "give exactly one of data.name"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_what_is_allowed(
    tmp_path: Path, text: str, said: str
) -> None:
    base = write(tmp_path / "base.yaml", "family: {name: nice}\ndata: {name: digits}")
    wrong = write(tmp_path / "wrong.yaml", text)
    merged = load([base, wrong])
    with pytest.raises(InputError) as caught:
        validated(RunSpec, merged.values, where=merged.where)
    assert said in str(caught.value)
    assert str(wrong) in str(caught.value)


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "\x00"])
def test_what_is_no_configuration_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = write(tmp_path / "broken.yaml", content)
    with pytest.raises(InputError, match=r"broken\.yaml"):
        load([path])


def test_missing_file_and_malformed_override_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load([tmp_path / "absent.yaml"])
    with pytest.raises(InputError, match="key=value"):
        load([], ["depth"])


def test_hash_follows_content_not_order() -> None:
    one = RunSpec.model_validate(
        {"family": {"name": "nice", "depth": 4}, "data": {"name": "moons"}}
    )
    two = RunSpec.model_validate(
        {"data": {"name": "moons"}, "family": {"depth": 4, "name": "nice"}}
    )
    three = RunSpec.model_validate(
        {"data": {"name": "moons"}, "family": {"name": "nice", "depth": 5}}
    )
    assert one.hash == two.hash
    assert one.hash != three.hash
