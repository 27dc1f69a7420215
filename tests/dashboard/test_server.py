"""What the server answers, to whom, and with which headers."""

import socket
import subprocess
import sys

import pandas as pd
import pytest

from flowbench.dashboard.server import serving
from flowbench.dashboard.views.registry import VIEWS
from flowbench.errors import InputError
from flowbench.tracking.reader import read_runs


def test_the_dashboard_and_its_server_do_without_torch():
    program = (
        "import sys, flowbench.dashboard.server, flowbench.dashboard.views.registry;"
        "print([m for m in ('torch', 'pytorch_lightning', 'kaleido') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_answer_says_what_a_browser_may_do(full_app):
    for path in ("/", "/_dash-layout", "/assets/dashboard.js", "/export/runs/runs.csv", "/gone"):
        headers = full_app.get(path).headers
        policy = dict(
            part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert policy["object-src"] == "'none'"
        assert not {"'unsafe-inline'", "'unsafe-eval'", "http:", "https:", "*"} & set(
            policy["script-src"].split()
        )
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"


def test_the_page_names_no_other_host_to_load_from(full_app):
    page = full_app.get("/").get_data(as_text=True)
    sources = [part.split('"')[0] for part in page.split('src="')[1:]]
    sources += [part.split('"')[0] for part in page.split('href="')[1:]]
    assert sources
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8050", "10.0.0.1"])
def test_a_name_that_is_not_this_machine_is_refused(full_app, host):
    assert full_app.get("/", Host=host).status_code == 403
    assert full_app.get("/", Host="127.0.0.1:8050").status_code == 200


def test_a_page_of_another_site_is_refused(full_app):
    assert full_app.get("/", Origin="https://evil.example").status_code == 403
    assert full_app.get("/", Host="127.0.0.1", Origin="http://127.0.0.1").status_code == 200


def test_a_port_that_is_taken_is_said_in_a_sentence(full_uri):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(InputError, match=f"--port {port}: another program"),
            serving(full_uri, "127.0.0.1", port),
        ):
            pass


def test_the_table_of_all_runs_can_be_taken_away_as_it_is_seen(full_app, full_uri):
    order = "order=val_bits_per_dim.asc"
    condition = '{"family":{"filterType":"text","type":"equals","filter":"glow"}}'
    path = f"/export/runs/runs.csv?sweep=full&data=digits&{order}&filters={condition}"
    answer = full_app.get(path)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    table = pd.read_csv(pd.io.common.BytesIO(answer.data))
    runs = read_runs(full_uri)
    mine = runs[(runs["family"] == "glow") & (runs["data"] == "digits") & (runs["measures"] == "")]
    expected = mine.sort_values("val/bits_per_dim", kind="stable")["val/bits_per_dim"]
    assert sorted(table["run"]) == sorted(mine["run"])
    pd.testing.assert_series_equal(
        table["val_bits_per_dim"], expected.reset_index(drop=True), check_names=False
    )


def test_no_cell_of_a_csv_is_a_formula(hostile_app):
    table = hostile_app.get("/export/failures/failures.csv").get_data(as_text=True)
    assert "code_error" in table or "code error" in table
    assert not any(line.startswith(("=", "+", "@")) for line in table.splitlines())


@pytest.mark.parametrize("path", ["/export/gone/runs.csv", "/export/runs/gone.csv"])
def test_a_table_that_is_not_there_is_not_found(full_app, path):
    assert full_app.get(path).status_code == 404


@pytest.mark.parametrize("name", VIEWS)
def test_every_table_of_every_view_can_be_had(full_app, name):
    from flowbench.dashboard.address import Address
    from flowbench.dashboard.seen import Seen

    address = Address.read(name, "?data=digits&run=full.residual.digits.confirm-0")
    seen = Seen(full_app.record.snapshot, address)
    for table, data in VIEWS[name].tables(seen).items():
        answer = full_app.get(f"/export/{name}/{table}.csv{address.search}")
        assert answer.status_code == 200
        # Blank rows of a CSV are rows of nothing.
        assert len(pd.read_csv(pd.io.common.BytesIO(answer.data), skip_blank_lines=False)) == len(
            data
        )
