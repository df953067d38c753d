"""The report: one file, nothing loaded from elsewhere, and working in a real browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from plots.__main__ import main
from plots.report.inline import _points
from tests.plots.conftest import METHODS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--enable-logging=stderr"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000"),
)
# What a reader does, with the outcome written into the page's title for the test to read.
ACTIONS = """
const table = [...document.querySelectorAll("table")].find((t) => t.tHead.textContent.includes("RMSE"));
const column = [...table.tHead.rows[0].cells].findIndex((cell) => cell.textContent.includes("RMSE"));
const head = table.tHead.rows[0].cells[column];
const values = () => [...table.tBodies[0].rows].map((row) => parseFloat(row.cells[column].dataset.value));
head.querySelector("button").click();
const ascending = values();
head.querySelector("button").click();
const descending = values();
const board = document.querySelector("#leaderboard section.table");
const input = board.querySelector("input");
input.value = "LCMD grad";
input.dispatchEvent(new Event("input"));
const rows = [...board.querySelectorAll("tbody tr")].filter((row) => row.getClientRects().length);
const kept = rows.map((row) => row.cells[0].textContent);
const counted = board.querySelector("output").textContent;
const plot = document.querySelector(".plot");
plot.scrollIntoView();
const points = JSON.parse(plot.dataset.points);
const box = plot.getBoundingClientRect();
const place = { clientX: box.left + points[3][0] * box.width, clientY: box.top + points[3][1] * box.height };
plot.dispatchEvent(new PointerEvent("pointermove", { ...place, bubbles: true }));
const tip = document.getElementById("tip");
const hover = tip.hidden ? "" : tip.textContent;
const rectangle = (element) => element.getBoundingClientRect();
const centre = (element) => [rectangle(element).x + rectangle(element).width / 2,
                             rectangle(element).y + rectangle(element).height / 2];
const [x, y] = centre(plot.querySelector(".dot"));
const markers = [...plot.querySelectorAll("svg use")].map(centre);
const miss = Math.min(...markers.map(([u, v]) => Math.hypot(u - x, v - y)));
plot.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight", bubbles: true }));
const key = tip.textContent;
plot.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
const dialog = document.getElementById("zoom");
const stage = dialog.querySelector("svg");
const before = stage.getBoundingClientRect().width;
dialog.dispatchEvent(new KeyboardEvent("keydown", { key: "+", bubbles: true }));
const after = stage.getBoundingClientRect().width;
document.title = "OUTCOME " + JSON.stringify({
  ascending, descending, sort: head.getAttribute("aria-sort"), hover, points: points.slice(0, 5), key, miss,
  loaded: performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !/^data:/.test(name)),
  kept, counted, open: dialog.open, before, after, overflow: document.documentElement.scrollWidth - window.innerWidth,
});
"""


@pytest.fixture(scope="module")
def report(runs: Path, protocol: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    arguments = [f"paths.runs={runs}", f"paths.protocol={protocol}", f"paths.submissions={folder}"]
    assert main([*arguments, f"paths.figures={folder}", "report=true"]) == 0
    return folder / "report.html"


class Page(HTMLParser):
    """Collects what would load something, ids, and heading texts."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset") and value is not None:
                (self.anchors if value.startswith("#") else self.loads).append(value)
            if name == "id" and value is not None:
                self.ids.append(value)


def test_page_loads_nothing_and_its_links_lead_somewhere(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.loads == ["data:,"]
    assert len(page.ids) == len(set(page.ids))
    assert {anchor[1:] for anchor in page.anchors} <= set(page.ids)
    assert "Content-Security-Policy" in text
    assert "@import" not in text
    assert all("#" in found for found in re.findall(r"url\((.*?)\)", text))


def test_page_says_what_ran_what_was_found_and_what_is_left_out(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    for words in (
        "What ran",
        "mini, 256x4",
        "not comparable (task 256x4, published: 256x16)",
        "Will active learning pay?",
        "Leaderboard (mini, 256x4)",
        "mini.zip: mini/*/256x4/lcmd-tp_grad_rp-512",
    ):
        assert words in text
    assert "Spearman&#39;s rank correlation" in text
    assert "Friedman test over 3 data sets" in text
    assert "Left out:" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found")
@pytest.mark.parametrize("size", ["1280,900", "500,900"])
def test_page_works_in_a_browser(report: Path, tmp_path: Path, size: str) -> None:
    assert CHROMIUM is not None
    page = tmp_path / "page.html"
    page.write_text(report.read_text(encoding="utf-8").replace("</body>", f"<script>{{{ACTIONS}}}</script></body>"))
    command = [CHROMIUM, *FLAGS, f"--window-size={size}", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run([*command, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r"<title>OUTCOME (.*?)</title>", done.stdout)
    assert found, done.stdout[:500] + done.stderr[-2000:]
    outcome = json.loads(found[1])
    assert outcome["ascending"] == sorted(outcome["ascending"])
    assert outcome["descending"] == sorted(outcome["descending"], reverse=True)
    assert len(set(outcome["ascending"])) > 2
    assert outcome["sort"] == "descending"
    assert outcome["kept"] == ["lcmd-tp_grad_rp-512"]
    assert outcome["counted"] == f"1 of {len(METHODS)}"
    assert outcome["hover"] in [point[2] for point in outcome["points"]]
    assert outcome["miss"] < 1.5  # pixels between the ring and the marker that it is about
    assert re.fullmatch(r"\S+.*: -?\d+\.\d+ at \d+ \(.*\)", outcome["key"])
    assert outcome["open"]
    assert outcome["after"] > 1.2 * outcome["before"]
    assert outcome["overflow"] <= 0
    assert outcome["loaded"] == []


def test_points_that_are_no_numbers_are_left_out() -> None:
    """JSON has no NaN: one would stop the page's script."""
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1.0, np.nan, 3.0], [1.0, 2.0, np.inf], marker="o", label="some")
    assert [text for _, _, text in _points(axes, figure)] == ["some: 1 at 1"]
