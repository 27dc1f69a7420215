"""The report as PDF, printed by a browser of the Chromium family where there is one."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome",
    "microsoft-edge", "brave-browser",
)  # fmt: skip
SECONDS = 120


def browser() -> str | None:
    """Return the path of a browser that prints, None where there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def print_pdf(page: Path, program: str) -> Path | None:
    """Print a page beside itself as `.pdf`.

    Args:
        page: the HTML file.
        program: the browser's path.

    Returns:
        The PDF file; None if the browser made none.
    """
    pdf = page.with_name("report.pdf")
    pdf.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            program, "--headless", "--disable-gpu", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={profile}", "--no-pdf-header-footer", f"--print-to-pdf={pdf}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []), page.resolve().as_uri(),
        ]  # fmt: skip
        try:
            subprocess.run(command, check=False, capture_output=True, timeout=SECONDS)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return None
    return pdf if pdf.is_file() else None
