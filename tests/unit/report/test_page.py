"""The page without a browser: small, offline, harmless, and of the same numbers as the JSON."""

import base64
import csv
import gzip
import io
import json
import re
import time
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from plotly import graph_objects
from plotly.offline import get_plotlyjs_version

from crossframe.backends import Backend
from crossframe.harness.analysis import labels
from crossframe.harness.records import store
from crossframe.harness.report import document, formats, framework_profiles
from crossframe.harness.report.page import page
from crossframe.harness.report.page.ratios import Ratios, text
from tests.support.synthetic import record, repeats, ten_thousand, write_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&"
STEPS = (0.010, 0.0101, 0.0099, 0.0102, 0.0098, 0.0100, 0.0101)


def failed(backend: str, **said: Any) -> dict[str, Any]:
    """The record of a job that left nothing to judge."""
    return record(backend, 1, 0.01) | {"state": "failed", "reason": "no", "measures": {}, "verdict": None} | said


def three(factors: tuple[float, ...] = (1.0, 1.5, 3.0)) -> list[dict[str, Any]]:
    """Three backends in seven rounds, so many times as slow as the first."""
    return [one for name, factor in zip("abc", factors) for one in repeats(name, [factor * step for step in STEPS])]


def written(folder: Path, found: list[dict[str, Any]]) -> str:
    return page.write(write_run(folder / "run", found)).read_text()


def without_scripts(html: str) -> str:
    return re.sub(r"<script.*?</script>|<style.*?</style>", "", html, flags=re.DOTALL)


def answer(html: str) -> str:
    return unescape(html.partition('id="answer"')[2].partition("</section>")[0])


def downloads(html: str) -> dict[str, str]:
    found = re.findall(r'download="(\S+)\.gz" href="data:application/gzip;base64,([^"]+)"', html)
    return {name: gzip.decompress(base64.b64decode(content)).decode() for name, content in found}


class Elements(HTMLParser):
    """Every element with its attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def running(html: str) -> int:
    """How many scripts would run."""
    return sum(tag == "script" and own.get("type") != "application/json" for tag, own in Elements(html).found)


def test_the_vendored_bundle_is_of_plotly_s_own_version() -> None:
    bundle = (page.HERE / "plotly-cartesian.min.js").read_text()
    assert f"v{get_plotlyjs_version()}" in bundle[:200]
    assert "MIT" in (page.HERE / "plotly-LICENSE.txt").read_text()


def test_the_page_is_small_and_asks_nobody(tmp_path: Path) -> None:
    html = written(tmp_path, three())
    assert len(html.encode()) <= 2e6
    for tag, attributes in Elements(html).found:
        assert tag not in ("iframe", "object", "embed", "base"), tag
        for name in ("src", "href", "action", "data"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert (
        "default-src 'none'" in html and "@import" not in html and "url(" not in (page.HERE / "style.css").read_text()
    )


def test_hostile_strings_are_text(tmp_path: Path) -> None:
    bad = failed("d", reason=HOSTILE)
    bad["cell"]["mode"] = HOSTILE
    versions = {HOSTILE: HOSTILE}
    parity = {"state": "failed", "reason": HOSTILE, "hint": HOSTILE}
    unproven = record("e", 1, 0.01, measures={"versions": versions}, parity=parity)
    run = write_run(tmp_path / "run", [*three(), bad, unproven])
    told = json.loads((run / "run.json").read_text())
    told |= {"name": HOSTILE, "host": {"cpu": HOSTILE, HOSTILE: HOSTILE}}
    told["backends"]["a"]["title"] = HOSTILE
    (run / "run.json").write_text(json.dumps(told))
    html = page.write(run).read_text()
    plain = page.write(write_run(tmp_path / "plain", three())).read_text()
    tags = [tag for tag, _ in Elements(html).found]
    assert "img" not in tags and not any(name.startswith("on") for _, own in Elements(html).found for name in own)
    assert running(html) == running(plain)
    assert "alert(1)</script>" not in html
    assert html.count("alert(1)") >= 4  # shown, as text


def test_numbers_of_the_page_are_those_of_the_json(tmp_path: Path) -> None:
    html = written(tmp_path, three())
    told = document.document(tmp_path / "run")
    assert json.loads(downloads(html)["report.json"]) == json.loads(json.dumps(told))
    assert downloads(html)["figures.csv"] == formats.as_csv(told)
    rows = re.findall(r'<tr data-task.*?data-candidate="([^"]+)".*?>(.*?)</tr>', html, re.DOTALL)
    assert len(rows) == len(told["cells"])
    for cell, (candidate, row) in zip(told["cells"], rows):
        assert candidate == f"{cell['backend']} {cell['mode']}"
        values = re.findall(r'data-value="([^"]*)" data-metric="(\w+)"[^>]*>([^<]*)', row)
        assert {name for _, name, _ in values} >= set(labels.COLUMNS)
        for value, name, shown in values:
            metric = cell["metrics"][name]
            assert value == ("" if metric["value"] is None else str(metric["value"])), name
            divisor = labels.COLUMNS[name][1] if name in labels.COLUMNS else 1
            assert shown.strip() == text(metric, divisor)


def test_a_line_a_process_lies_in_the_page(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(downloads(written(tmp_path, three()))["processes.csv"])))
    assert len(rows) == 21 and float(rows[0]["first_step_s"]) == pytest.approx(0.1)


def test_ratios_are_to_a_named_baseline(tmp_path: Path) -> None:
    told = document.document(write_run(tmp_path / "run", three()))
    ratios = Ratios(told["comparisons"])
    key = ("circle", "cpu", "float32", 64)
    assert ratios.baseline == "a eager"
    for name, factor in (("b eager", 1.5), ("c eager", 3.0)):
        ratio, low, high = ratios.to_baseline(key, "step_s", name)
        assert low <= ratio <= high
        assert ratio == pytest.approx(factor)
    assert ratios.shown(key, "step_s", "c eager") == "3.000x [3.000, 3.000]"
    assert ratios.shown(key, "step_s", "a eager") == ""


@pytest.mark.parametrize(
    "figure, shown",
    [
        ({"value": None, "low": None, "high": None}, "-"),
        ({"value": 1234.5678, "low": 1200.0, "high": 1300.0}, "1,235 [1,200, 1,300]"),
        ({"value": 0.12345, "low": 0.1231, "high": 0.1239}, "0.12345 [0.12310, 0.12390]"),
        ({"value": 0.0123456, "low": None, "high": None}, "0.0123"),
        ({"value": 0.0, "low": 0.0, "high": 0.0}, "0 [0, 0]"),
    ],
)
def test_digits_follow_the_interval(figure: dict[str, Any], shown: str) -> None:
    assert text(figure) == shown


def test_the_first_sentences_name_a_winner_only_where_there_is_one(tmp_path: Path) -> None:
    clear = answer(written(tmp_path / "clear", three()))
    assert "choose a" in clear and "Trains fastest, beyond the noise: a eager (circle)." in clear
    assert "All 3 cells ended well and were proven" in clear
    tie = answer(written(tmp_path / "tie", three((1.0, 1.0, 1.0))))
    assert "it is a tie of" in tie and "a tie of a eager, b eager and c eager (circle)" in tie and "choose" not in tie
    few = answer(written(tmp_path / "few", [record(name, 1, 0.01) for name in "ab"]))
    assert "Not enough evidence" in few and "No training speed is ranked: not enough evidence" in few


def test_failures_stand_with_state_and_reason(tmp_path: Path) -> None:
    bad = [failed("d", state="timeout", reason="over 6 s")]
    html = without_scripts(written(tmp_path, [*three(), *bad]))
    assert "d is out, as the decision below says" in answer(html) and "d is out: circle cpu float32 64: timeout" in html
    assert "timeout: over 6 s" in html and "✗ timeout" in html
    assert "3 of 4 cells ended well" in answer(html)


def test_only_failures_are_a_page(tmp_path: Path) -> None:
    bad = [failed(name) for name in "ab"]
    html = written(tmp_path, bad)
    assert "none fits" in answer(html) and "0 of 2 cells ended well" in answer(html)


def test_one_backend_and_one_sample_are_a_page(tmp_path: Path) -> None:
    assert "nothing to compare it with" in answer(written(tmp_path, [record("a", 1, 0.01)]))


def test_an_empty_run_is_a_page_and_no_run_an_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [record("a", 1, 0.01)])
    (run / "records.jsonl").unlink()
    html = page.write(run).read_text()
    assert "Nothing was measured yet" in answer(html) and "There is no record yet" in html
    (run / "run.json").write_text(json.dumps({"schema": 0}))
    with pytest.raises(store.NoRunError, match="another version"):
        page.write(run)


def test_a_damaged_line_is_a_notice(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", three())
    with (run / "records.jsonl").open("a") as file:
        file.write('{"schema": 1, "job": ')
    assert "line 22 is damaged" in page.write(run).read_text()


def test_parity_off_is_a_notice_and_ranks_nothing(tmp_path: Path) -> None:
    html = written(tmp_path, [one | {"parity": None} for one in three()])
    assert "Parity was not checked" in html and 'class="tier"' not in html


def test_what_other_commands_leave_is_drawn_where_it_is_there(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", three())
    told = document.document(run)
    cell = {"task": "circle", "exporter": "a", "runtime": "somewhere", "state": "refused", "stage": "load"}
    told |= {"portability": [cell | {"reason": "no such operator"}], "selftest": {"state": "passed", "ratio": 1.0}}
    html = page.template().render(page.view(told, store.read(run)[0], {}))
    assert "no such operator" in html and 'id="onnx"' in html
    assert "Self-test of this machine: state passed, ratio 1" in html


def test_markdown_stays_below_what_a_pull_request_takes(tmp_path: Path) -> None:
    many = [record("a", 1, 0.01, cell={"batch_size": size}) for size in range(1, 500)]
    many += [failed("b", reason="long " * 50) | {"cell": one["cell"] | {"backend": "b"}} for one in many]
    for place, one in enumerate(many):
        one["job"] = str(place)
    text = formats.as_markdown(document.document(write_run(tmp_path / "run", many)))
    assert 50_000 < len(text.encode()) < 64_000
    assert "more cells: crossframe report" in text and "more notes" in text


TITLES = {"a": "Alpha", "b": "Beta", "c": "Gamma"}


def backend(folder: Path, name: str, facts: dict[str, Any]) -> Backend:
    """A backend of ten lines of code and two pins."""
    folder.mkdir()
    (folder / "model.py").write_text("x = 1\n" * 10 + "\n# a comment\n")
    (folder / "pins.txt").write_text(f"{name}==1.0  # its own\nother==2; python_version > '3'\n--no-deps\n")
    return Backend(name, name, folder, {"install": {"cpu": {"requirements": "pins.txt"}}, "facts": facts})


def known(monkeypatch: pytest.MonkeyPatch, *found: Backend) -> None:
    for module in (document, page):
        monkeypatch.setattr(module, "discover", lambda: {one.name: one for one in found})


def shown(html: str, name: str) -> dict[str, str]:
    """The rows of a backend's card, as a reader sees them."""
    card = html.partition(f'<article class="card" data-backend="{name}"')[2].partition("</article>")[0]
    rows = re.findall(r"<dt>(.*?)</dt><dd.*?>(.*?)</dd>", card, re.DOTALL)
    return {what: unescape(re.sub(r"<.*?>", "", told)) for what, told in rows}


def test_a_card_holds_what_was_measured_and_what_was_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "https://example.org/licence, as of May"
    facts = {
        "licence": {"value": "MIT", "date": "2026-11-21", "source": source},
        "maintained": {"value": False, "note": "retired"},
    }
    known(monkeypatch, backend(tmp_path / "a", "a", facts))
    broken = {"state": "failed", "reason": "gates are swapped", "hint": None}
    found = [*three(), *repeats("a", STEPS, cell={"task": "cnn"})]
    found += repeats("a", STEPS, cell={"task": "lstm"}, parity=broken)
    run = write_run(tmp_path / "run", found, TITLES)
    told, html = document.document(run), page.write(run).read_text()
    assert [card["title"] for card in told["cards"]] == list(TITLES.values())
    own = told["cards"][0]["measured"]
    assert own["environment_bytes"] == 10**9 and own["packages"] == 2 and own["backend_lines"] == 10
    assert own["exports"] == [3, 3] and own["proven"] == [2, 3] and own["import_s"] == [1.0, 1.0, 1.0]
    card = shown(html, "a")
    assert (
        card.items() >= dict(framework_profiles.shown(told["cards"][0])).items()
        and card.keys() >= framework_profiles.ROWS.keys()
    )
    assert card["environment on disk"] == "1,000 MB" and card["time to install it"] == "5 s"
    assert card["defects found by parity"] == "lstm eager: gates are swapped"
    assert card["licence"] == "MIT looked up 2026-11-21, example.org, as of May"
    assert card["maintained"].startswith("no: retired") and card["community"] == "unknown"
    assert f'<a href="{source.partition(",")[0]}"' in html
    gone = shown(html, "b")
    assert gone["packages in it"] == gone["code of its backend"] == gone["licence"] == "unknown"
    assert gone["environment on disk"] == "1,000 MB" and "not installed here any more" in html
    text = formats.as_markdown(told)
    assert (
        "| licence | MIT (looked up 2026-11-21, https://example.org/licence, as of May) | unknown | unknown |" in text
    )
    assert "| packages in it | 2 pinned | unknown | unknown |" in text


def test_pins_that_are_not_of_the_run_count_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, backend(tmp_path / "a", "a", {}))
    other = write_run(tmp_path / "run", [record("a", 1, 0.01, measures={"versions": {"a": "0.9"}})])
    strangers = write_run(tmp_path / "own", [record("a", 1, 0.01, environment={"bytes": None, "install_s": None})])
    for run in (other, strangers):
        assert document.document(run)["cards"][0]["measured"]["packages"] is None
    assert shown(page.write(strangers).read_text(), "a")["environment on disk"] == "unknown"


def test_hostile_facts_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = 'javascript:alert(3) https://example.org/<img> data:text/html,x http://"onclick=alert(4)'
    hostile = {"value": HOSTILE, "note": HOSTILE, "date": HOSTILE, "source": address}
    facts = {
        **dict.fromkeys(framework_profiles.ROWS.values(), hostile),
        "maintained": HOSTILE,
        "edge": {"value": [HOSTILE]},
    }
    known(monkeypatch, backend(tmp_path / "a", "a", facts))
    html = page.write(write_run(tmp_path / "run", three(), dict.fromkeys("abc", HOSTILE))).read_text()
    found = Elements(html).found
    assert "img" not in {tag for tag, _ in found} and not any(key.startswith("on") for _, own in found for key in own)
    links = {own["href"] for tag, own in found if tag == "a" and own.get("rel") == "noreferrer"}
    assert links == {"https://example.org/"}
    text = formats.as_markdown(document.document(tmp_path / "run"))
    assert "<script" not in text and "<img" not in text


def test_readers_see_titles_and_files_hold_names(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [*three(), failed("d")], TITLES | {"d": "Alpha"})
    html = page.write(run).read_text()
    told = document.document(run)
    assert "choose" not in answer(html) or "Beta" not in answer(html).partition("choose")[2][:8]
    assert "Trains fastest, beyond the noise: Alpha (a) eager (circle)." in answer(html)  # two are called Alpha
    text = re.sub(r"<.*?>", " ", without_scripts(html))
    assert "Gamma eager" in text and not re.search(r"\b[abcd] eager\b", text)
    assert json.loads(downloads(html)["report.json"]) == json.loads(json.dumps(told))
    assert {cell["backend"] for cell in told["cells"]} == set("abcd")
    assert {row["backend"] for row in csv.DictReader(io.StringIO(downloads(html)["processes.csv"]))} == set("abcd")


def test_the_page_says_what_its_words_mean(tmp_path: Path) -> None:
    html = without_scripts(written(tmp_path, three()))
    links = re.findall(r'<a class="word" href="#(word-\w+)"', html)
    assert {f"word-{one}" for one in ("tier", "parity", "dialect", "interval", "mode")} <= set(links)
    for one in links:
        assert f'<dt id="{one}">' in html
    assert "<dt>circle</dt><dd>circle, 2 numbers a sample, through dense 16, relu, dense 1; binary cross" in html


def test_a_notice_of_each_damaged_line_would_hide_the_page(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", three())
    with (run / "records.jsonl").open("a") as file:
        file.write("{\n" * 100)
    assert "and 88 more, in report.json below" in page.write(run).read_text()


def test_ten_thousand_records_are_a_page_of_5_mb_in_10_s(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", ten_thousand())
    begin = time.process_time()
    size = page.write(run).stat().st_size
    assert time.process_time() - begin < 10 and size < 5e6


def test_charts_keep_to_plotly_s_schema(tmp_path: Path) -> None:
    html = written(
        tmp_path, [*three(), *(one for size in (8, 16) for one in repeats("a", STEPS, cell={"batch_size": size}))]
    )
    figures = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    assert figures
    for figure in map(json.loads, figures):
        graph_objects.Figure(figure)  # which refuses what plotly does not know


def bounded(backend: str, task: str, step_s: float, **changed: Any) -> dict[str, Any]:
    bounds = {"ceiling_flops_per_s": 1e9, "ceiling_bytes_per_s": 1e9}
    work = {"step_flops": 5e6, "step_bytes": 1e6} if "x2" not in task else {"step_flops": 2e7, "step_bytes": 4e6}
    batch_size = 128 if "x2" in task else 64
    return record(backend, 1, step_s, cell={"task": task, "batch_size": batch_size}, limits=work | bounds, **changed)


def test_limits_and_operators_are_shown(tmp_path: Path) -> None:
    spent = {"name": "<b>product", "calls": 20, "self_s": 0.03}
    profile = {"state": "ok", "reason": None, "steps": 10, "rows": [spent, {**spent, "name": "sum", "self_s": 0.01}]}
    found = [
        bounded("torch", "circle", 0.01, measures={"operators": profile}),
        bounded("torch", "circle-x2", 0.04),  # four times the work in four times the time
        bounded("jax", "circle", 0.01),
        bounded("jax", "circle-x2", 0.01),  # in the same time; 2e9 a second is more than the ceiling
    ]
    run = write_run(tmp_path, found)
    text = page.write(run).read_text()
    told = document.document(run)
    share = {(c["task"], c["backend"]): c["metrics"]["ceiling_share"]["value"] for c in told["cells"]}
    assert share["circle", "torch"] == pytest.approx(0.5) and share["circle-x2", "jax"] is None
    assert "compute-bound (1.00)" in text and "launch-bound (0.00)" in text
    assert "&lt;b&gt;product" in text and "<b>product" not in text and "75.0%" in text


def test_what_a_gpu_did_is_shown(tmp_path: Path) -> None:
    columns = ("at_s", "memory_bytes", "utilisation", "power_w", "clock_hz", "energy_j", "throttle")
    values = ([1.0, 2.0, 3.0], [1e9, 3e9, 3e9], [0.5] * 3, [300.0] * 3, [1.5e9] * 3, [10.0, 20.0, 30.0], [0] * 3)
    card = {"device": "cuda:0", "other_processes": 0, "samples": dict(zip(columns, values))}
    receipt = {
        "began_s": 0.5, "ended_s": 3.5, "cpus": [0], "pools": [], "process": "1",
        "settings": {"threads": None, "float32_products": "float32"},
        "busy_threads": 1, "cpu_per_wall": 1.0, "energy_j": None,
    }  # fmt: skip
    epochs = [{"epoch": 1, "steps": 10, "train_s": 2.4, "began_s": 0.8}]
    measures = {"receipt": receipt, "epochs": epochs, "device_peak_bytes": 10**9}
    made = record("torch", 1, 0.01, cell={"device": "cuda:0"}, gpu=card, measures=measures)
    text = page.write(write_run(tmp_path, [made])).read_text()
    assert "What the GPU did" in text and ">1,500<" in text.replace(" ", "")
    assert "rose by 2,000 MB (NVML)" in text and "the allocator gave out 1,000 MB at most" in text
