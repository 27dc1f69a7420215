"""A real Chromium."""

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from watched import Watched, dashboard

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def full_dashboard(full_uri):
    with dashboard(full_uri) as base:
        yield base


@pytest.fixture(scope="session")
def hostile_dashboard(hostile_uri):
    with dashboard(hostile_uri) as base:
        yield base


@pytest.fixture
def opened(chromium):
    """Open pages of a given width and colours; each must end without a complaint."""
    contexts = []

    def make(base, width=1280, dark=False):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )  # fmt: skip
        contexts.append(context)
        return Watched(context.new_page(), base)

    yield make
    for context in contexts:
        context.close()
