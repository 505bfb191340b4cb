"""The report in a real browser: nothing loaded, nothing wrong, nothing cut off; sorted, saved, printed."""

import base64
import json
import re

import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from tests.reports.helpers import predictions, write_trial
from tests.serving.test_page import CHROMIUM, DRIVER, FLAGS

from lfbt.reports.page import ReportSettings, report

MARKUP = "<img src=x onerror=document.title='harmed'>"


@pytest.fixture(scope="module")
def page(trained, tmp_path_factory):
    """The report of runs that have something in every section."""
    runs = ("pretrain", "probe", "curve", "leads", "random-s0", "random-s1")
    out = tmp_path_factory.mktemp("report") / "out"
    return report(ReportSettings(tuple(trained / name for name in runs), out))[0]


@pytest.fixture
def browse(tmp_path):
    """Open a page in a browser of some size and colour scheme; at the end nothing may be logged, or asked elsewhere."""
    if not (CHROMIUM.is_file() and DRIVER.is_file()):
        pytest.skip(f"{CHROMIUM} or {DRIVER} is absent")
    drivers = []

    def start(page, width=1200, height=900, scheme="light", script=True):
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
        drivers.append((driver, page.as_uri()))
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
        driver.get(page.as_uri())
        return driver

    yield start
    for driver, uri in drivers:
        logged, sent = driver.get_log("browser"), [json.loads(one["message"]) for one in driver.get_log("performance")]
        driver.quit()
        # The browser's own pages log, too.
        assert not [one for one in logged if not one["message"].startswith("chrome:")]
        sent = [one["message"] for one in sent if one["message"]["method"] == "Network.requestWillBeSent"]
        asked = {one["params"]["request"]["url"] for one in sent}
        assert not {one for one in asked if not one.startswith((uri, "blob:", "chrome", "data:"))}


def width_of(driver):
    return driver.execute_script("return document.documentElement.scrollWidth")


def saved_by(driver):
    """What the button below the forest saves."""
    driver.execute_script("URL.createObjectURL = (blob) => { window.saved = blob.text(); return '#'; };")
    driver.find_element(By.CSS_SELECTOR, "table[data-name=runs-grouped-over-seeds] caption button").click()
    return driver.execute_async_script("saved.then(arguments[0])")


@pytest.mark.parametrize("width", [1200, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_in_both_schemes_with_everything_open(page, browse, width, scheme):
    driver = browse(page, width, 900, scheme)
    assert width_of(driver) <= width
    driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert width_of(driver) <= width
    back = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back)[:3])) < 150) == (scheme == "dark")
    assert driver.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
    # What is wider than the page is reached by the keyboard and scrolls by itself.
    regions = driver.find_elements(By.CSS_SELECTOR, ".scroll")
    assert all(region.get_attribute("tabindex") == "0" and region.get_attribute("aria-label") for region in regions)
    # Every picture tells those who see none what it is.
    untitled = (
        "return [...document.querySelectorAll('svg[role=img]')].filter(s => !s.querySelector('title')?.textContent)"
    )
    assert driver.execute_script(f"{untitled}.length") == 0
    assert (
        driver.execute_script("return document.querySelectorAll('svg:not([role=img]):not([aria-hidden])').length") == 0
    )


def test_words_in_charts_are_legible_on_a_phone(page, browse):
    driver = browse(page, 390, 844)
    small = """return Math.min(...[...document.querySelectorAll('.chart text')].map(
        t => parseFloat(getComputedStyle(t).fontSize) * t.ownerSVGElement.clientWidth / 380))"""
    assert driver.execute_script(small) > 9


def test_tables_are_sorted_by_the_keyboard_numbers_as_numbers(page, browse):
    driver = browse(page)
    table = driver.find_element(By.CSS_SELECTOR, "table[data-name=runs-grouped-over-seeds]")
    button = table.find_element(By.XPATH, ".//button[contains(., 'AUROC ±')]")

    def column():
        return [float(row.find_elements(By.TAG_NAME, "td")[2].text.split()[0]) for row in rows()]

    def rows():
        return table.find_elements(By.CSS_SELECTOR, "tbody tr")

    n, before = len(rows()), column()
    button.send_keys(Keys.ENTER)
    assert column() == sorted(before, reverse=True)
    assert button.find_element(By.XPATH, "..").get_attribute("aria-sort") == "descending"
    button.send_keys(Keys.SPACE)
    assert column() == sorted(before)
    assert len(rows()) == n > 3


def test_table_is_saved_as_csv_without_pictures(page, browse):
    driver = browse(page)
    table = driver.find_element(By.CSS_SELECTOR, "table[data-name=runs-grouped-over-seeds]")
    head, *lines = saved_by(driver).splitlines()
    assert head == "run,AUROC ± sd [95 %],AUPRC ± sd [95 %],kind,seeds"
    assert len(lines) == len(table.find_elements(By.CSS_SELECTOR, "tbody tr"))
    # With a comma inside.
    assert any(line.startswith('"') for line in lines)


def test_without_script_all_is_there_and_no_button_is_dead(page, browse):
    driver = browse(page, script=False)
    assert driver.find_elements(By.TAG_NAME, "button") == []
    assert len(driver.find_elements(By.TAG_NAME, "table")) > 10
    assert "AUROC ± sd" in driver.find_element(By.TAG_NAME, "main").text


def test_printed_page_has_all_that_was_closed_on_landscape_paper(page, browse):
    driver = browse(page)
    closed = driver.execute_script("return document.querySelectorAll('details:not([open])').length")
    assert closed > 3
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    content = base64.b64decode(printed["data"])
    assert content.startswith(b"%PDF")
    boxes = {tuple(map(float, box.split())) for box in re.findall(rb"/MediaBox\s*\[([^\]]*)\]", content)}
    ((_, _, width, height),) = boxes
    assert (width, height) == pytest.approx((297 / 25.4 * 72, 210 / 25.4 * 72), abs=1)
    driver.execute_script("dispatchEvent(new Event('beforeprint'))")
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    driver.execute_script("dispatchEvent(new Event('afterprint'))")
    assert driver.execute_script("return document.querySelectorAll('details:not([open])').length") == closed


def test_thirty_runs_are_groups_in_a_small_file_that_fits(tmp_path, browse):
    folders = []
    for group in range(10):
        for seed in range(3):
            begin = "=1+1" if group == 4 else "a run"
            name = f"{begin} with quite a long name {group} {MARKUP if group == 3 else ''}-s{seed}".replace("/", "")
            settings = {"epochs": group}
            changes = {"encoder": {"checkpoint": None}} if group == 9 else {}
            p = predictions(0.3 * group, [seed, group, 0])
            folders.append(write_trial(tmp_path / name, p, seed=seed, settings=settings, **changes))
    out, table = report(ReportSettings(tuple(folders), tmp_path / "report"))
    assert len(table) == 30
    assert out.stat().st_size < 5e6
    driver = browse(out, 390, 844)
    assert width_of(driver) <= 390
    rows = driver.find_elements(By.CSS_SELECTOR, "table[data-name=runs-grouped-over-seeds] tbody tr")
    assert len(rows) == 10
    assert all(row.text.endswith("3") for row in rows)
    assert driver.title == "lfbt report"
    # A spreadsheet would compute it.
    assert next(line for line in saved_by(driver).splitlines() if "=1+1" in line).startswith("'=1+1 with")
    assert np.isfinite(table["AUROC"]).all()
