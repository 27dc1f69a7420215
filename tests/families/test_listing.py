"""What `flowbench families` says."""

import json

from typer.testing import CliRunner

from flowbench.families.listing import list_families
from flowbench.families.registry import FAMILIES


def rows(name: str) -> dict[str, tuple[str, str, str]]:
    family = next(each for each in list_families() if each.name == name)
    return {
        key: (kind, limits, default)
        for key, kind, limits, default in (h.row for h in family.hyperparameters)
    }


def test_every_family_says_what_it_is_and_where_it_is_from():
    listing = list_families()
    assert [family.name for family in listing] == list(FAMILIES)
    for family in listing:
        assert family.paper[-1] != "."
        assert any(year in family.paper for year in map(str, range(2014, 2027)))
        assert family.summary.endswith(".")


def test_types_ranges_and_defaults_are_in_words_that_a_configuration_takes():
    glow, realnvp = rows("glow"), rows("realnvp")
    assert glow["depth"] == ("int", "1 <= x <= 64", "8")
    assert glow["permutation"] == ("reverse | shuffle | conv | lu", "", "lu")
    assert glow["learned_top"] == ("bool", "", "true")
    assert realnvp["hidden"] == ("list of int", "1 to 16 items, 1 <= x <= 8192", "[128, 128]")
    assert realnvp["levels"] == ("int | null", "1 <= x <= 16", "null")
    assert realnvp["split"] == ("half | parity | checkerboard | channel | null", "", "null")
    assert realnvp["split_ratio"] == ("float", "0 < x < 1", "0.5")


def test_what_describes_the_data_is_no_hyperparameter():
    for name in FAMILIES:
        assert not {"event_shape", "preprocess", "context_size", "self"} & set(rows(name))


def test_the_command_prints_it_for_people_and_for_programs():
    import typer

    from flowbench.cli.models import families

    app = typer.Typer()
    app.command()(families)
    text = CliRunner().invoke(app, [], env={"COLUMNS": "160"}).output
    for name in FAMILIES:
        assert name in text
    assert "0 < x < 1" in text
    printed = json.loads(CliRunner().invoke(app, ["--json"]).output)
    assert [family["name"] for family in printed] == list(FAMILIES)
    depth = printed[0]["hyperparameters"][0]
    assert depth == {"name": "depth", "type": "int", "range": "1 <= x <= 64", "default": 8}
