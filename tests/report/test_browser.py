"""The page in a real browser: what it asks for, how it is laid out, by day and by night."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import seq2seq

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome is installed")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
# A page of our own measures the report in a frame of some width: the report runs no script.
MEASURE = """<!doctype html><body style="margin:0">
<iframe style="width:WIDTHpx;height:900px;border:0" src="report.html"></iframe>
<pre id="found"></pre>
<script>
document.querySelector("iframe").onload = event => {
  const view = event.target.contentWindow, page = view.document, root = page.documentElement
  const wide = [...page.body.querySelectorAll("*")].filter(one =>
    one.getBoundingClientRect().right > root.clientWidth + 1 && !one.closest(".wide, pre"))
  const styles = view.getComputedStyle(page.body)
  document.getElementById("found").textContent = JSON.stringify({
    width: root.clientWidth, scroll: root.scrollWidth,
    wide: wide.map(one => one.outerHTML.slice(0, 80)),
    sections: [...page.querySelectorAll("main > section")].map(one => one.id),
    heights: [...page.querySelectorAll("svg")].map(one => one.getBoundingClientRect().height),
    fetched: view.performance.getEntriesByType("resource").map(one => one.name),
    background: styles.backgroundColor, ink: styles.color, scripts: page.scripts.length,
  })
}
</script>"""

Found = dict[str, Any]


@pytest.fixture
def measured(trained: Path, tmp_path: Path) -> Iterator[Callable[..., Found]]:
    """Opens the report in a browser and says how it looks there, and what the server was asked."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            asked.append(self.path)

    site = tmp_path / "site"
    site.mkdir()
    seq2seq.write_report(trained, site / "report.html")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def measure(width: int, *flags: str) -> Found:
        (site / "measure.html").write_text(MEASURE.replace("WIDTH", str(width)), encoding="utf-8")
        address = f"http://127.0.0.1:{server.server_port}/measure.html"
        html = browse(tmp_path / f"profile-{width}", "--dump-dom", *flags, address)
        found = re.search(r'<pre id="found">(.+?)</pre>', html, flags=re.DOTALL)
        assert found, html[-2000:]
        return {**json.loads(found[1].replace("&gt;", ">").replace("&lt;", "<")), "asked": asked}

    yield measure
    server.shutdown()
    thread.join()
    server.server_close()


def browse(profile: Path, *arguments: str) -> str:
    done = subprocess.run(
        [
            str(BROWSER),
            *FLAGS,
            f"--user-data-dir={profile}",
            "--virtual-time-budget=5000",
            *arguments,
        ],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_it_is_whole_and_asks_for_nothing(measured: Callable[..., Found]) -> None:
    found = measured(1100)
    assert found["sections"] == [
        "curves",
        "translations",
        "attention",
        "data",
        "timeline",
        "recipe",
        "environment",
    ]
    assert len(found["heights"]) == 8
    assert all(100 < height < 400 for height in found["heights"])
    assert found["fetched"] == []
    assert found["scripts"] == 0
    assert sorted(set(found["asked"]) - {"/favicon.ico"}) == ["/measure.html", "/report.html"]


@pytest.mark.parametrize("width", [380, 700])
def test_nothing_sticks_out_on_a_narrow_screen(measured: Callable[..., Found], width: int) -> None:
    found = measured(width)
    assert found["width"] <= width
    assert found["scroll"] == found["width"]
    assert found["wide"] == []


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_it_can_be_read_by_day_and_by_night(measured: Callable[..., Found]) -> None:
    day = measured(800, "--blink-settings=preferredColorScheme=1")
    night = measured(801, "--blink-settings=preferredColorScheme=0")
    for found in (day, night):
        lights = sorted(luminance(found[key]) for key in ("ink", "background"))
        assert (lights[1] + 0.05) / (lights[0] + 0.05) > 7
    assert luminance(day["background"]) > 0.8
    assert luminance(night["background"]) < 0.1
