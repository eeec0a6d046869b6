"""The page in a real browser, as wide as a phone: no errors, nothing wider than the screen."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_support import Reported

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
PHONE = 390

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")

# A window cannot be as narrow as a phone; a frame can, and its page sees the frame's width.
FRAME = """<body><iframe src="{page}" style="border:0;width:{width}px;height:800px"></iframe>
<script>onmessage = e => document.documentElement.dataset.seen = e.data</script></body>"""
PROBE = """<script>
document.querySelectorAll("details").forEach(d => d.open = true);
onload = () => parent.postMessage([innerWidth, document.documentElement.scrollWidth,
  document.querySelectorAll("svg").length,
  [...document.querySelectorAll("svg")].filter(s => s.getBoundingClientRect().width < 200).length
].join(), "*");
</script>"""


def look(page: str, place: Path) -> tuple[list[int], list[str]]:
    """Widths of the frame and of the page, number of figures and of tiny ones; console lines."""
    (place / "probed.html").write_text(page.replace("</body>", PROBE + "</body>"))
    frame = place / "frame.html"
    frame.write_text(FRAME.format(page="probed.html", width=PHONE))
    done = subprocess.run(
        [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={place / 'profile'}", "--virtual-time-budget=5000", "--dump-dom",
         frame.as_uri()],
        capture_output=True, text=True, timeout=180, check=True,
    )  # fmt: skip
    seen = re.search(r'data-seen="([\d,]+)"', done.stdout)
    assert seen is not None, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return [int(number) for number in seen.group(1).split(",")], console


def test_on_a_phone(page: Reported, tmp_path: Path) -> None:
    (frame, width, figures, tiny), console = look(page.text, tmp_path)
    assert frame == PHONE
    assert width <= PHONE
    assert figures == page.text.count("<svg") > 10
    assert tiny == 0
    assert console == []


def test_the_look_sees_what_is_wrong(tmp_path: Path) -> None:
    broken = '<html><body><div style="width:900px">x</div><script>nothing()</script></body></html>'
    (_, width, _, _), console = look(broken, tmp_path)
    assert width > PHONE
    assert console
