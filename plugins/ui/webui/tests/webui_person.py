"""A person at the page: a headless Chromium, driven by what is seen."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    NoAlertPresentException,
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = float(os.environ.get("SWIFT_TEST_PATIENCE", "1"))
"""How many times longer to wait than on two idle cores."""

PICTURES = os.environ.get("SWIFT_TEST_WEBUI", "")
"""A folder for pictures of the page; empty where the browser's tests are not asked for."""

TABS = ("Train", "Chat", "Deploy", "Evaluate", "Export", "Sample", "Runs", "Data", "Models")
PHONE = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2}}


def chromium(phone: bool = False):
    """A browser; the test is skipped where none is installed."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("no chromium with its driver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,1000"]
    for word in words:
        options.add_argument(word)
    if phone:
        options.add_experimental_option("mobileEmulation", PHONE)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


@contextlib.contextmanager
def started(
    place: Path, folder: str, *more: str, port: str = "0", path: Path | None = None
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running `swift app` and its address; in the end it and its jobs are killed. path: programs of its own."""
    environment = {**os.environ, **({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})}
    command = [sys.executable, "-u", "-m", "swift_core", "app", "--port", port, "--folder", folder, *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=place, env=environment)
    try:
        yield re.search(r"http://[\d.:]+", process.stdout.readline())[0], process
    finally:
        for file in (*(place / folder).glob("*/keeper.json"), *(place / folder).glob("*/process.json")):
            number = json.loads(file.read_text())["pid"]
            if psutil.pid_exists(number):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(number, signal.SIGKILL)
        process.terminate()
        process.wait(timeout=30)


class Person:
    """Opens the page, fills it in, reads it."""

    def __init__(self, url: str, phone: bool = False):
        self.url, self.browser, self.pressed = url, chromium(phone), 0

    def open(self, path: str = "") -> None:
        """Open the page and wait for its first field."""
        self.browser.get(self.url + "/" + path)
        self.find("#train-model")

    def find(self, selector: str, seconds: float = 60):
        """The first visible element that fits."""
        return self.until(lambda: next((e for e in self.all(selector) if e.is_displayed()), None), selector, seconds)

    def all(self, selector: str):
        """All elements that fit, visible or not."""
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def until(self, wanted, what: str = "", seconds: float = 60):
        """What `wanted` gives, once it gives something."""

        def tried(_):
            try:
                return wanted()
            except (StaleElementReferenceException, NoAlertPresentException, IndexError, StopIteration):
                return None

        wait = WebDriverWait(self.browser, seconds * PATIENCE, poll_frequency=0.1)
        try:
            return wait.until(tried, message=what)
        except TimeoutException as error:
            error.msg = f"{what}; {self.said()}"
            raise

    def tab(self, name: str) -> None:
        """Go to a tab; on a narrow screen it may stand in a menu."""
        self.until(lambda: self._tab(name) or self._menu(), name)
        if self._tab(name) is None:
            self._menu().click()
        self.until(lambda: self._tab(name), name).click()

    def _menu(self):
        return next((b for b in self.all(".overflow-menu > button") if b.is_displayed()), None)

    def _tab(self, name: str):
        buttons = [b for b in self.all("button[role=tab], .overflow-dropdown button") if b.is_displayed()]
        return next((b for b in buttons if b.text.strip() == name), None)

    def keys(self, *pressed: str, everything: bool = False) -> None:
        """Press keys, wherever the focus is. everything: in place of what is there."""
        keys = ActionChains(self.browser)
        if everything:
            keys = keys.key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL)
        keys.send_keys(*pressed).perform()
        self.pressed += sum(map(len, pressed))
        time.sleep(0.3)

    def focus(self, selector: str) -> bool:
        """Whether what has the focus fits, or is within what fits."""
        return bool(self.browser.execute_script("return !!document.activeElement.closest(arguments[0])", selector))

    def tab_to(self, selector: str, back: bool = False) -> None:
        """Press Tab until the focus is at an element that can be seen."""
        for _ in range(150):
            if self.focus(selector):
                seen = self.browser.execute_script(
                    "const e = document.activeElement; const r = e.getBoundingClientRect();"
                    "return r.bottom > 0 && r.top < innerHeight"
                )
                assert seen, f"{selector} has the focus and is not on the screen"
                return
            keys = ActionChains(self.browser)
            keys = (
                keys.key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT) if back else keys.send_keys(Keys.TAB)
            )
            keys.perform()
            self.pressed += 1
            time.sleep(0.1)  # as people do
        raise AssertionError(f"Tab does not lead to {selector}")

    def empty(self) -> None:
        """Reset the form, and wait until it is drawn anew."""
        self.press("train-reset")
        self.until(lambda: self.text("train-command") == "swift sft", "an empty form", 30)
        time.sleep(2)

    def job(self) -> str:
        """The name of the job that is shown."""
        return self.text("runs-head").partition(":")[0].strip()

    def type(self, field: str, text: str) -> None:
        """Write a text into a field, in place of what is there."""
        box = self.find(f"#{field} textarea, #{field} input")
        box.send_keys(Keys.CONTROL + "a", Keys.DELETE)
        lines = text.split("\n")
        for number, line in enumerate(lines):
            box.send_keys(line, *([Keys.ENTER] if number < len(lines) - 1 else []))

    def pick(self, field: str, *values: str, clear: bool = False) -> None:
        """Choose or write values in a list of choices."""
        box = self.find(f"#{field} input")
        if clear and self.all(f"#{field} .token"):
            self.find(f"#{field} .remove-all").click()
        for value in values:
            box.click()
            box.send_keys(Keys.CONTROL + "a")
            box.send_keys(value)
            time.sleep(0.2)
            box.send_keys(Keys.ENTER)
            time.sleep(0.2)
        self.browser.execute_script("document.activeElement.blur()")

    def code(self, field: str, text: str) -> None:
        """Write into a field of code."""
        box = self.find(f"#{field} .cm-content")
        box.click()
        box.send_keys(Keys.CONTROL + "a", Keys.DELETE)
        self.browser.execute_script("document.execCommand('insertText', false, arguments[0])", text)

    def press(self, button: str) -> None:
        """Press a button once it can be pressed."""
        self.until(lambda: self.find(f"#{button}").is_enabled(), button)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.find(f"#{button}"))
        self.find(f"#{button}").click()

    def rest(self) -> None:
        """Wait until the page has had nothing from the server for three seconds, so that what was pressed is done."""
        asked = 1
        while asked:
            self.browser.execute_script("performance.clearResourceTimings()")
            time.sleep(3 * PATIENCE)
            asked = self.browser.execute_script("return performance.getEntriesByType('resource').length")

    def labelled(self, field: str, label: str):
        """The buttons within an element whose label or title begins so."""
        words = ", ".join(f"{field} button[{name}^='{label}']" for name in ("aria-label", "title"))
        return self.until(lambda: self.all(words), f"{label} in {field}")

    def open_part(self, title: str) -> None:
        """Unfold a part of the page, if it is folded."""
        button = next(b for b in self.all("button.label-wrap") if b.is_displayed() and b.text.strip().startswith(title))
        if "open" not in button.get_attribute("class").split():
            button.click()
            time.sleep(0.5)

    def notice(self) -> str:
        """What the page says in its corner."""
        return " ".join(e.text for e in self.all(".toast-wrap, .toast-body"))

    def give(self, button: str, file) -> None:
        """Give a file to an upload button."""
        inputs = self.browser.execute_script(
            "const b = document.getElementById(arguments[0]); let e = b;"
            "while (e && !e.querySelector('input[type=file]')) e = e.parentElement;"
            "const all = [...e.querySelectorAll('input[type=file]')];"
            "return all.filter(i => b.contains(i) || i.compareDocumentPosition(b) & 4).slice(-1)[0] || all[0];",
            button,
        )
        inputs.send_keys(str(file))

    def text(self, field: str) -> str:
        """What an element shows, or holds."""

        def held():
            boxes = self.all(f"#{field} textarea, #{field} .cm-content, #{field} input:not([type=file])")
            texts = [box.get_attribute("value") or box.text for box in boxes or self.all(f"#{field}")]
            return next(filter(None, texts), "")

        try:
            return held()
        except (StaleElementReferenceException, WebDriverException):
            return ""

    def sees(self, field: str, part: str, seconds: float = 60) -> str:
        """Wait until an element shows a text."""
        self.until(lambda: part in self.text(field), f"{part!r} in #{field}", seconds)
        return self.text(field)

    def said(self) -> str:
        """What the page shows now, for the message of a wait in vain; its picture stands beside the others."""
        if PICTURES:
            self.browser.save_screenshot(str(Path(PICTURES, "in-vain.png")))
        return f"the page says {self.browser.find_element(By.TAG_NAME, 'body').text[-3000:]!r}"

    def downloads_to(self, folder) -> None:
        """Let the browser put what is downloaded into a folder."""
        self.browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})

    def slow(self, seconds: float) -> None:
        """Let each request take so much longer, as over a long line; 0: as quick as it is."""
        line = {"offline": False, "latency": 1000 * seconds, "downloadThroughput": -1, "uploadThroughput": -1}
        self.browser.execute_cdp_cmd("Network.enable", {})
        self.browser.execute_cdp_cmd("Network.emulateNetworkConditions", line)

    def errors(self) -> list[str]:
        """What the browser's console complains about."""
        return [line["message"] for line in self.browser.get_log("browser") if line["level"] == "SEVERE"]

    def picture(self, file) -> None:
        """A picture of the whole page."""
        height = self.browser.execute_script("return document.documentElement.scrollHeight")
        size = self.browser.get_window_size()
        self.browser.set_window_size(size["width"], min(height + 150, 3000))
        time.sleep(0.5)
        self.browser.save_screenshot(str(file))
        self.browser.set_window_size(size["width"], size["height"])
