"""Pages that are watched while they are open, and dashboards that they open."""

import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

from flowbench.dashboard.server import serving

WAIT = 60_000
"""Milliseconds that a page may take on a busy machine."""


def until(page, expression):
    """Wait until an expression holds; the page's policy forbids Playwright's own way."""
    deadline = time.monotonic() + WAIT / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


class Watched:
    """A page that remembers what it complained of and what it asked for."""

    def __init__(self, page, base):
        self.page, self.base = page, base
        self.complaints, self.requests = [], []
        page.set_default_timeout(WAIT)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def _said(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, path):
        """Open an address and wait until its view is there."""
        self.page.goto(self.base + path)
        self.settled()
        return self.page

    def settled(self):
        self.page.wait_for_selector("main h1")
        self.page.wait_for_selector(".making", state="detached")
        self.page.wait_for_selector("[data-dash-is-loading]", state="detached")
        # A figure's traces are drawn after it is there.
        until(
            self.page,
            "[...document.querySelectorAll('.dash-graph')]"
            ".every(graph => graph.querySelector('.cartesianlayer .trace, .heatmaplayer .hm'))",
        )

    @property
    def strangers(self):
        """Requests beyond this machine."""
        return [
            url
            for url in self.requests
            if urlsplit(url).scheme not in ("data", "blob")
            and urlsplit(url).hostname != "127.0.0.1"
        ]


@contextmanager
def dashboard(uri):
    """Serve a record from a thread of this process; yield the server's address."""
    with serving(uri, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.port}"
        server.shutdown()
        thread.join()
