"""The picture of a report in README.md: `python -m benchmarks.report_picture demo/report/report.html`.

Parts of the page, as Chromium shows them; the page of ``make demo`` is of synthetic ECGs, and says so.
"""

from __future__ import annotations

import argparse
import base64
import io
from pathlib import Path

_OUT = Path(__file__).resolve().parents[1] / "docs" / "images" / "report.png"
_WIDTH = 1150
_COLOURS = 160
# What is shown of each section.
_SHOWN = (
    *("#glance > h2", "#glance > dl", "#results > h2", "#results > .scroll:nth-of-type(1)", "#results > .charts"),
    *("#why > h2", "#why > figure"),
)
# Facts and charts that are, the first of all.
_FACTS, _CHARTS = 6, 3

_HIDE = """
const [shown, facts, charts] = arguments, kept = new Set();
for (const one of shown) kept.add(document.querySelector(one));
for (const one of document.querySelectorAll("section, section > *, nav, footer"))
  if (![...kept].some((k) => one.contains(k))) one.remove();
const hide = (all, most) => [...all].slice(most).forEach((one) => { one.remove(); });
hide(document.querySelectorAll("#glance dl > *"), 2 * facts);
hide(document.querySelector("#results > .charts").children, charts);
return document.documentElement.scrollHeight;
"""


def main() -> None:
    """Take the picture."""
    from PIL import Image
    from selenium import webdriver

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, default=_OUT)
    given = parser.parse_args()
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
    size = {"width": _WIDTH, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get(given.page.resolve().as_uri())
    height = driver.execute_script(_HIDE, _SHOWN, _FACTS, _CHARTS)
    clip = {"x": 0, "y": 0, "width": _WIDTH, "height": height, "scale": 1}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    driver.quit()
    picture = Image.open(io.BytesIO(base64.b64decode(taken["data"]))).convert("RGB")
    picture.quantize(_COLOURS).save(given.out, optimize=True)
    print(f"{given.out}: {picture.width} × {picture.height}, {given.out.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
