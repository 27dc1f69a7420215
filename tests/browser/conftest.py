"""A real Chromium."""

from functools import cache
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


@pytest.fixture(scope="session")
def windows(chromium):
    """Return the windows of a width and of light or dark: their pages load scripts but once."""

    @cache
    def window(width, dark):
        return chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )

    return window


@pytest.fixture
def opened(windows):
    """Open watched pages; they are closed when the test ends."""
    pages = []

    def make(base, width=1280, dark=False):
        pages.append(windows(width, dark).new_page())
        return Watched(pages[-1], base)

    yield make
    for page in pages:
        page.close()
