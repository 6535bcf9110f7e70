"""Someone who reads a page in a real browser: Chromium, without a window."""

import json
import os
import re
import shutil
import time
import zlib
from base64 import b64decode
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1400,900"
)


def browser(profile):
    """A Chromium that leaves what it keeps in a folder."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS.split(), f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def held(page):
    """What a page holds: its scripts and its data."""
    return json.loads(zlib.decompress(b64decode(re.search(r'id="held">(.*?)</script>', page)[1])))


class Reader:
    """Someone who reads a page: points, clicks, types, and looks."""

    def __init__(self, driver, folder):
        self.driver, self.folder = driver, folder

    def open(self, tape, **how):
        self.driver.get(tape.save_html(self.folder / "page.html", **how).as_uri())
        return self.drawn()

    def drawn(self):
        """Wait until what a page holds is drawn, if it is an explorer's."""
        held = "document.getElementById('held')"
        self.until(lambda: self.ask(f"return !{held} || performance.getEntriesByName('drawn').length"))
        return self

    def ask(self, script, *given):
        return self.driver.execute_script(script, *given)

    def element(self, name):
        return self.driver.find_element("id", name)

    def says(self, name="details"):
        return self.ask("return document.getElementById(arguments[0]).innerText", name)

    def id(self, caption):
        boxes = "explorer.cy.nodes('.box').map((node) => [node.data('label').split('\\n')[0], node.id()])"
        return dict(self.ask(f"return {boxes}"))[caption]

    def mouse(self, where):
        """Move the mouse over the middle of an element of the graph."""
        from selenium.webdriver import ActionChains

        script = (
            "const one = explorer.cy.getElementById(arguments[0]);"
            "const {x, y} = one.isNode() ? one.renderedPosition() : one.renderedMidpoint();"
            "const {clientWidth, clientHeight} = document.getElementById('graph');"
            "return [x - clientWidth / 2, y - clientHeight / 2]"
        )
        self.ask("explorer.cy.stop()")
        x, y = self.ask(script, where)
        return ActionChains(self.driver).move_to_element_with_offset(self.element("graph"), round(x), round(y))

    def tab(self, name):
        """Open one of the parts that stand below the legend."""
        self.driver.find_element("css selector", f"#tabs [aria-controls={name}]").click()

    def click(self, caption):
        self.mouse(self.id(caption)).click().perform()
        self.until(lambda: self.ask("return explorer.chosen !== null"))

    def double_click(self, caption):
        """Open a box. However long a busy machine takes from one click to the other, they are a double click."""
        usual, depth = self.ask("return [explorer.cy.multiClickDebounceTime(), explorer.open.length]")
        self.ask("explorer.cy.multiClickDebounceTime(60000)")
        self.mouse(self.id(caption)).double_click().perform()
        self.until(lambda: self.ask("return explorer.open.length") > depth)
        self.ask("explorer.cy.multiClickDebounceTime(arguments[0])", usual)

    def keys(self, *keys, to="graph"):
        self.element(to).send_keys(*keys)

    def names(self, name):
        """The captions of the boxes of a class."""
        return set(
            self.ask("return explorer.cy.nodes(arguments[0]).map((n) => n.data('label').split('\\n')[0])", f".{name}")
        )

    def flows(self, name):
        return self.ask("return explorer.cy.edges(arguments[0]).length", f".{name}")

    def letters(self):
        """How large the smallest letters in boxes are, where nothing is zoomed."""
        return self.ask("return Math.min(...explorer.cy.nodes('.box').map((n) => parseFloat(n.style('font-size'))))")

    def size(self, width=0, height=0):
        """Look at the page in a window of this size; without one, of its own."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        which = "setDeviceMetricsOverride" if width else "clearDeviceMetricsOverride"
        self.driver.execute_cdp_cmd(f"Emulation.{which}", size if width else {})

    def system(self, theme):
        """Let the system be light, dark, or as it is."""
        features = [{"name": "prefers-color-scheme", "value": theme}] if theme else []
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def until(self, true):
        end = time.monotonic() + 60  # a machine may be busy
        while not true():
            assert time.monotonic() < end, "waited for a minute"
            time.sleep(0.02)

    def screenshot(self, name):
        folder = Path(os.environ.get("TINYHYPER_ARTIFACTS") or self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.picture(folder / f"{name}.png")

    def picture(self, path):
        self.ask("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert self.driver.save_screenshot(str(path))
