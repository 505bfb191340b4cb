"""The page: its policy, and what it does in a real browser."""

import base64
import contextlib
import dataclasses
import hashlib
import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from tests.inference.test_prediction import MeanModel
from tests.serving.helpers import ONE, npy, wfdb

from lfbt.serving.answers import Answerer
from lfbt.serving.application import create_application
from lfbt.serving.neighbours import TrainingRecords
from lfbt.serving.page import load_page
from lfbt.serving.server import bind

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MARKUP = "<img src=x onerror=document.title='harmed'>"


def test_policy_has_the_hashes_of_the_style_and_the_script():
    page, policy = load_page()
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_page_is_one_file_that_loads_nothing_and_makes_no_markup_of_texts():
    page, _ = load_page()
    assert not re.findall(r"https?:|//cdn|src=|@import|url\(|<link", page)
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|style=| on[a-z]+=", page)
    assert 'lang="en"' in page
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert "Not a medical device" in page


def test_every_input_of_the_page_has_a_label():
    page, _ = load_page()
    inputs = re.findall(r"<input[^>]*id=\"(\w+)\"", page)
    assert len(inputs) == 6
    for name in inputs:
        before = page[: page.index(f'id="{name}"')]
        assert before.rfind("<label") > before.rfind("</label>")


@pytest.fixture(scope="module")
def url():
    """A server in a thread, whose classes and training records try to be markup."""
    model = MeanModel(thresholds=(0.2, None))
    model.classes = ("A", MARKUP)
    embeddings = np.random.default_rng(0).random((6, 128)).astype(np.float32)
    records = TrainingRecords(tuple(f"{MARKUP}{i}" for i in range(6)), ((MARKUP,),) * 6, embeddings)
    limits = dataclasses.replace(ONE, upload_mb=1.0)
    with contextlib.closing(Answerer(model, limits, records)) as answerer, bind("127.0.0.1", 0) as listener:
        app = create_application(answerer, MARKUP, limits)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def browse(url, tmp_path):
    """Open the page in a browser of some size and colour scheme; at the end nothing may have been asked elsewhere."""
    if not (CHROMIUM.is_file() and DRIVER.is_file()):
        pytest.skip(f"{CHROMIUM} or {DRIVER} is absent")
    drivers = []

    def start(width=1200, height=900, scheme="light"):
        options = webdriver.ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
        drivers.append(driver)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        driver.get(url)
        WebDriverWait(driver, 20).until(lambda d: d.find_element(By.ID, "model").text)
        return driver

    yield start
    for driver in drivers:
        logged, sent = driver.get_log("browser"), [json.loads(one["message"]) for one in driver.get_log("performance")]
        driver.quit()
        # A refusal of the server is shown on the page, and listed by the browser as well.
        assert not [one for one in logged if "status of 4" not in one["message"]]
        sent = [one["message"] for one in sent if one["message"]["method"] == "Network.requestWillBeSent"]
        # The browser begins with a page of its own.
        ours = [one["params"] for one in sent if not one["params"]["documentURL"].startswith("chrome")]
        asked = {one["request"]["url"] for one in ours}
        assert url in asked
        assert not {one for one in asked if not one.startswith((url, f"blob:{url}"))}


def choose(driver, *files):
    driver.find_element(By.ID, "files").send_keys("\n".join(map(str, files)))


def status(driver, start):
    """Wait until the status begins so."""
    element = driver.find_element(By.ID, "status")
    WebDriverWait(driver, 30).until(lambda d: element.text.startswith(start), f"{start!r}: {element.text!r}")
    return element.text


def widths(driver):
    return driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")


@pytest.mark.parametrize(("width", "height"), [(1200, 900), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_answers_files_that_are_chosen(browse, tmp_path, width, height, scheme):
    wfdb(tmp_path)
    driver = browse(width, height, scheme)
    assert widths(driver)[0] <= width
    choose(driver, tmp_path / "ecg.hea", tmp_path / "ecg.dat")
    status(driver, "Answered: ecg.hea")
    image = driver.find_element(By.CSS_SELECTOR, "#paper img")
    WebDriverWait(driver, 20).until(lambda d: image.get_property("naturalWidth"))
    # 270 mm at 96 pixels an inch, whatever the width of the page.
    assert abs(image.size["width"] - 270 / 25.4 * 96) < 1
    assert widths(driver)[0] <= width
    rows = driver.find_elements(By.CSS_SELECTOR, "#bars tr")
    assert [row.find_element(By.TAG_NAME, "th").text for row in rows] == ["A", MARKUP]
    assert [len(row.find_elements(By.CSS_SELECTOR, ".bar b")) for row in rows] == [1, 0]
    assert sum(float(row.find_element(By.CSS_SELECTOR, "td.number").text) for row in rows) == pytest.approx(
        100, abs=0.11
    )
    assert len(driver.find_elements(By.CSS_SELECTOR, "tr.called")) == 1
    near = driver.find_elements(By.CSS_SELECTOR, "#records tr")
    assert len(near) == 5
    assert all(MARKUP in row.text for row in near)
    assert "Not a medical device" in driver.find_element(By.TAG_NAME, "body").text
    assert driver.title == "lfbt: an ECG, answered"
    back = driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back)[:3])) < 150) == (scheme == "dark")
    driver.find_element(By.ID, "fit").click()
    assert image.size["width"] <= width


def test_page_takes_files_that_are_dropped(browse, tmp_path):
    files = [[name, base64.b64encode(content).decode()] for name, content in wfdb(tmp_path)]
    driver = browse()
    driver.execute_script(
        """
        const data = new DataTransfer();
        for (const [name, content] of arguments[0])
          data.items.add(new File([Uint8Array.from(atob(content), (c) => c.charCodeAt(0))], name));
        document.getElementById("drop").dispatchEvent(
          new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        """,
        files,
    )
    status(driver, "Answered: ecg.hea")


def test_page_asks_for_what_a_file_does_not_state(browse, tmp_path):
    (tmp_path / "ecg.npy").write_bytes(npy())
    driver = browse()
    assert not driver.find_element(By.ID, "leads").is_displayed()
    choose(driver, tmp_path / "ecg.npy")
    status(driver, "sampling_rate: none given")
    assert driver.switch_to.active_element.get_attribute("id") == "sampling_rate"
    driver.switch_to.active_element.send_keys("6.4\n")
    status(driver, "leads: none given")
    assert driver.switch_to.active_element.get_attribute("id") == "leads"
    # By the keyboard alone.
    driver.switch_to.active_element.send_keys("II,V1\n")
    status(driver, "Answered: ecg.npy")
    assert not driver.find_elements(By.CSS_SELECTOR, ".asked")


def test_page_shows_why_there_is_no_answer(browse, tmp_path):
    bad = tmp_path / "ecg.csv"
    bad.write_text("no numbers\n")
    large = tmp_path / "large.csv"
    large.write_bytes(b"1\n" * 600_000)
    driver = browse(390, 844)
    choose(driver, bad)
    assert "ecg.csv" in status(driver, "sampling_rate")
    choose(driver, large)
    status(driver, "files: more than 1 MB")
    assert not driver.find_element(By.ID, "answer").is_displayed()
    assert widths(driver)[0] <= 390
