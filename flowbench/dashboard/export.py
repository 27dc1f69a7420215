"""What is seen, to take away: tables as CSV, and the report of the chosen sweep."""

from urllib.parse import quote

from flowbench.dashboard.address import Address


def table_href(address: Address, name: str) -> str:
    """Return where a table of a view can be had as CSV."""
    return f"/export/{quote(address.view)}/{quote(name)}.csv{address.search}"


def report_href(address: Address) -> str:
    """Return where the report of what is seen can be had, zipped."""
    return f"/export/report.zip{address.search}"
