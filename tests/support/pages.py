"""Pages of synthetic runs, and functions that read their HTML."""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from crossframe.backends import Backend
from crossframe.backends.manifest import CONTRACT_VERSION, Fact, InstallRecipe, Manifest
from crossframe.harness.records.model import Record
from crossframe.harness.report import document
from crossframe.harness.report.page import page
from crossframe.harness.worker.measurements import TrainMeasurements
from crossframe.harness.worker.states import State
from tests.support.synthetic import make_record, make_repeats, save_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
STEPS_S = (0.010, 0.0101, 0.0099, 0.0102, 0.0098, 0.0100, 0.0101)
TITLES = {"a": "Alpha", "b": "Beta", "c": "Gamma"}


def make_failure(backend: str, **changes: Any) -> Record:
    """Return the record of a job without measurements and evaluation."""
    changes = {"state": State.FAILED, "reason": "no", **changes}
    return replace(make_record(backend, 1, 0.01, **changes), measurements=TrainMeasurements(), evaluation=None)


def make_three(factors: Sequence[float] = (1.0, 1.5, 3.0), **changes: Any) -> list[Record]:
    """Return three backends in seven rounds; the factors are their times relative to `STEPS_S`."""
    return [
        record
        for name, factor in zip("abc", factors)
        for record in make_repeats(name, [factor * step_s for step_s in STEPS_S], **changes)
    ]


def write_html(folder: Path, records: Sequence[Record], titles: Mapping[str, str] | None = None) -> str:
    """Return the page of a run with these records."""
    return page.write_page(save_run(folder / "run", records, titles)).read_text()


def make_backend(folder: Path, name: str, facts: Mapping[str, Fact], modes: tuple[str, ...] = ("eager",)) -> Backend:
    """Return a backend of ten lines of code and two pins."""
    folder.mkdir()
    (folder / "model.py").write_text("x = 1\n" * 10 + "\n# a comment\n")
    (folder / "pins.txt").write_text(f"{name}==1.0  # the framework\nother==2; python_version > '3'\n--no-deps\n")
    manifest = Manifest(
        title=name,
        packages=(name,),
        install={"cpu": InstallRecipe(python="3.11", requirements="pins.txt")},
        modes=modes,
        contract_version=CONTRACT_VERSION,
        facts=dict(facts),
    )
    return Backend(name, name, folder, manifest)


def install_backends(monkeypatch: pytest.MonkeyPatch, *backends: Backend) -> None:
    """Replace the backends that the report discovers."""
    for module in (document, page):
        monkeypatch.setattr(module, "discover", lambda: {backend.name: backend for backend in backends})


class Elements(HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect an element."""
        self.elements.append((tag, dict(attrs)))

    @property
    def tags(self) -> set[str]:
        """The names of the elements."""
        return {tag for tag, _ in self.elements}

    @property
    def handlers(self) -> list[str]:
        """The attributes that are event handlers."""
        return [name for _, attributes in self.elements for name in attributes if name.startswith("on")]

    @property
    def script_count(self) -> int:
        """The number of scripts that would run."""
        return sum(
            tag == "script" and attributes.get("type") not in ("application/json", "text/plain")
            for tag, attributes in self.elements
        )


def remove_scripts(html: str) -> str:
    """Return a page without scripts and styles."""
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", html, flags=re.DOTALL)


def read_answer(html: str) -> str:
    """Return the sentences at the top of a page."""
    return unescape(html.partition('id="answer"')[2].partition("</section>")[0])


def read_downloads(html: str) -> dict[str, str]:
    """Return name -> content of the files that a page contains."""
    links = re.findall(r'download="(\S+)\.gz" href="data:application/gzip;base64,([^"]+)"', html)
    return {name: gzip.decompress(base64.b64decode(content)).decode() for name, content in links}


def read_profile(html: str, backend: str) -> dict[str, str]:
    """Return the rows of a framework profile as a reader sees them."""
    profile = html.partition(f'<article class="profile" data-backend="{backend}"')[2].partition("</article>")[0]
    rows = re.findall(r"<dt>(.*?)</dt><dd.*?>(.*?)</dd>", profile, re.DOTALL)
    return {name: unescape(re.sub(r"<.*?>", "", text)) for name, text in rows}
