"""The server's answers to addresses under /export: tables as CSV, the report zipped."""

import io
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import quote

import flask

from flowbench.compare.render import no_formula
from flowbench.dashboard.address import Address
from flowbench.dashboard.record import Record
from flowbench.dashboard.seen import Seen
from flowbench.dashboard.views.registry import VIEWS
from flowbench.errors import InputError


def offer_downloads(server: flask.Flask, record: Record) -> None:
    """Add the addresses."""

    @server.get("/export/<view>/<name>.csv")
    def table(view: str, name: str) -> flask.Response:
        snapshot = record.snapshot
        if snapshot is None or view not in VIEWS:
            flask.abort(404)
        address = Address.read(view, flask.request.query_string.decode())
        found = VIEWS[view].tables(Seen(snapshot, address))
        if name not in found:
            flask.abort(404)
        texts = found[name].select_dtypes(exclude=["number", "bool"]).columns
        guarded = {column: found[name][column].map(no_formula) for column in texts}
        content = found[name].assign(**guarded).to_csv(index=False)
        return _file(content.encode(), f"{view}-{name}.csv", "text/csv; charset=utf-8")

    @server.get("/export/report.zip")
    def report() -> flask.Response:
        from flowbench.report.page import write_report

        address = Address.read("", flask.request.query_string.decode())
        with tempfile.TemporaryDirectory() as place:
            try:
                write_report(record.tracking_uri, address.sweep or None, Path(place))
            except InputError as error:
                return flask.Response(str(error), 409, mimetype="text/plain")
            return _file(_zipped(Path(place)), "report.zip", "application/zip")


def _zipped(directory: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                archive.write(path, Path("report") / path.relative_to(directory))
    return buffer.getvalue()


def _file(content: bytes, name: str, kind: str) -> flask.Response:
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return flask.Response(content, mimetype=kind, headers=headers)
