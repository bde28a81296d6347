"""A Chromium, a run with its page, and tabs that check that the page logs no message and sends no request."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossframe.harness.records.model import Record
from crossframe.harness.report.page.page import write_page
from tests.support.pages import STEPS_S, TITLES, make_failure
from tests.support.synthetic import make_repeats, save_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# The sandbox does not work as root; without the other options Chromium connects to its maker at every start.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Browser = Any  # of playwright, which is not installed where these tests are skipped
Tab = Any


def make_records() -> list[Record]:
    """Return three backends in two tasks, of which the slowest takes the least memory, and a failed cell."""
    records = [
        record
        for task, slowdown in (("circle", 1.5), ("lstm", 1.8))
        for name, factor, peak in (("a", 1.0, 10**8), ("b", slowdown, 5 * 10**7), ("c", 1.005, 10**8))
        for record in make_repeats(
            name,
            [factor * step_s for step_s in STEPS_S],
            cell={"task": task},
            measurements={"host_peak_bytes": peak},
        )
    ]
    return [*records, make_failure("d")]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with its page."""
    folder = save_run(tmp_path_factory.mktemp("browser") / "run", make_records(), TITLES)
    write_page(folder)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium; skips the test where it or playwright is missing, and in CI."""
    driver = pytest.importorskip("playwright.sync_api", reason="no browser tests: pip install 'crossframe[browser]'")
    if CHROMIUM is None:
        pytest.skip("no browser tests: no Chromium on the path; apt install chromium")
    if "CI" in os.environ:
        pytest.skip("no browser tests in CI")
    with driver.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def tab(browser: Browser, run: Path) -> Iterator[Tab]:
    """Open the page; afterwards, check that it logged no message and sent no request."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        accept_downloads=True,
        permissions=["clipboard-read", "clipboard-write"],
    )
    page, messages, urls = context.new_page(), [], []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: urls.append(request.url))
    visit(page, run)
    yield page
    context.close()
    assert messages == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in urls), urls


def visit(tab: Tab, run: Path, state: str = "") -> None:
    """Open the page of a run at a state of its address."""
    tab.goto("about:blank")
    tab.goto((run / "report.html").resolve().as_uri() + state)
    tab.wait_for_selector("body[data-ready=yes]")
