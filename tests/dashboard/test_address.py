import pytest

from flowbench.dashboard.address import Address

HOSTILE = "<script>alert('1')</script>&?#/ %20+"


@pytest.mark.parametrize(
    "address",
    [
        Address(),
        Address(view="leaderboard", sweep="demo", data="moons", families=("glow", "nice")),
        Address(view="run", runs=(HOSTILE,)),
        Address(view="runs", sweep=HOSTILE, data=HOSTILE, families=(HOSTILE, "a,b")),
        Address(view="runs", filters='{"family":{"type":"contains"}}', order="a.asc,b.desc"),
    ],
)
def test_an_address_is_read_as_it_was_written(address):
    path, _, search = address.href.partition("?")
    assert Address.read(path, f"?{search}") == address


def test_an_unknown_key_is_passed_over():
    assert Address.read("/live", "?sweep=a&utm=1&data=") == Address(view="live", sweep="a")


def test_another_view_keeps_the_data_and_forgets_the_table():
    address = Address(view="runs", sweep="s", data="d", families=("f",), order="run.asc")
    assert address.at("trade-off") == Address(
        view="trade-off", sweep="s", data="d", families=("f",)
    )
    assert address.beside(["a", "b"]).runs == ("a", "b")
