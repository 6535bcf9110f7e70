"""The site in a browser: explorers answer, keys reach everything, axe finds nothing serious, phones are wide enough.

The pictures of some pages are kept where those of the inspector are, see .ci/run.
"""

import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from reading import Reader

pytestmark = pytest.mark.slow

LESSONS = ["course/03-scissors", "course/06-height", "course/09-horizon"]
PAGES = ["index", *LESSONS, "inspect", "reference/optim", "glossary"]
LONG = ["conventions", "performance", "results"]  # of thousands of elements
THEMES = ["light", "dark"]
SIZES = [(1280, 720), (1920, 1080)]
HEAVY = 3_000_000  # bytes of a lesson with its explorer


# A box that is in sight as a whole.
SEEN = """
    const { clientWidth: width, clientHeight: height } = document.getElementById("graph") ?? {};
    return window.explorer?.cy.nodes(".box").filter((one) => {
        const { x1, x2, y1, y2 } = one.renderedBoundingBox();
        return x1 > 0 && y1 > 0 && x2 < width && y2 < height;
    })[0]?.id();
"""


FRAME = "const { top, bottom } = document.querySelector('iframe').getBoundingClientRect(); return [top, bottom]"


class Visitor(Reader):
    """Someone who reads the site."""

    def __init__(self, driver, folder, address):
        super().__init__(driver, folder)
        self.address = address

    def visit(self, page):
        self.driver.get(f"{self.address}/{page}.html")
        return self.drawn()

    def enter(self):
        """Into the explorer of a lesson, once it is drawn."""

        def awake():
            self.driver.switch_to.default_content()
            self.ask("document.querySelector('iframe').scrollIntoView({ block: 'center', behavior: 'instant' })")
            self.driver.switch_to.frame(0)
            return self.ask(SEEN)

        self.until(awake)

    def here(self):
        """What has the focus: its tag, class and name."""
        return self.ask(
            "const one = document.activeElement, name = one.getAttribute('aria-label') ?? one.title;"
            "return [one.tagName, one.className, name, one.innerText.slice(0, 30)].join(' ')"
        )


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """No line for each request."""


@pytest.fixture(scope="module")
def address(site):
    """Where this machine serves the site: a search shows parts of pages, which no browser reads from disk."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visitor(chromium, tmp_path, address):
    visitor = Visitor(chromium, tmp_path, address)
    yield visitor
    chromium.switch_to.default_content()
    visitor.system("")
    visitor.size()
    severe = [line for line in chromium.get_log("browser") if line["level"] == "SEVERE"]
    assert [line for line in severe if "favicon" not in line["message"]] == []


@pytest.mark.parametrize("lesson", LESSONS)
@pytest.mark.parametrize("theme", THEMES)
def test_the_explorer_of_a_lesson_draws_and_answers_a_click_and_a_key(visitor, lesson, theme):
    visitor.system(theme)
    visitor.visit(lesson).enter()
    assert visitor.ask("return document.documentElement.dataset.theme") == theme
    before = visitor.says()
    box = visitor.ask(SEEN)
    visitor.ask("explorer.cy.once('onetap', () => (window.tapped = true))")
    visitor.mouse(box).click().perform()
    visitor.until(lambda: visitor.ask("return window.tapped"))  # it is no double click, and leads to its step
    assert visitor.ask("return explorer.chosen?.id()") == box
    assert visitor.says() != before
    visitor.keys(".")  # to step 2: in lesson 3 no pass begins before
    visitor.until(visitor.element("pass").is_enabled)
    visitor.keys("b")
    assert visitor.element("stops").is_displayed() and visitor.says("stop").startswith("stop 1 of ")
    visitor.keys("\ue014")  # right
    assert visitor.says("stop").startswith("stop 2 of ")
    assert visitor.ask("return document.documentElement.scrollWidth <= innerWidth")


def explorer(lesson):
    """The page of a lesson's explorer, which has the lesson's number."""
    return f"{lesson}/explorer{int(re.search('[0-9]+', lesson)[0])}"


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_with_its_explorer_is_no_larger_than_three_megabytes(site, lesson):
    assert sum((site / f"{page}.html").stat().st_size for page in (lesson, explorer(lesson))) < HEAVY


def severe(visitor):
    """What axe finds on the page that is open, and takes to be serious."""
    axe = pytest.importorskip("axe_core_python", reason="axe is not installed: the extra browser has it")
    script = next(Path(axe.__file__).parent.rglob("axe.min.js"))
    visitor.ask(script.read_text(encoding="utf-8"))
    visitor.driver.set_script_timeout(120)  # 10 seconds for the longest page, on a quiet machine
    visitor.until(lambda: visitor.ask("return document.getAnimations().length") == 0)  # colours change slowly
    found = visitor.driver.execute_async_script(
        "const done = arguments[0]; axe.run({ iframes: false }).then(({ violations }) => done(violations))"
    )
    return [
        (one["id"], node["target"], node["failureSummary"])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("page", [*PAGES, *LONG, "_modules/tinyhyper/core/errors", *map(explorer, LESSONS)])
@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_nothing_serious(visitor, page, theme):
    visitor.system(theme)
    found = severe(visitor.visit(page))
    assert found == [], found


def test_axe_sees_what_is_wrong(visitor):
    visitor.visit("glossary")
    visitor.ask("document.querySelector('article p').style.color = '#ddd'")
    visitor.ask("document.querySelector('article').append(document.createElement('button'))")
    assert {"color-contrast", "button-name"} <= {name for name, *_ in severe(visitor)}


def test_keys_alone_reach_the_search_the_theme_and_the_explorer(visitor):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys):
        ActionChains(visitor.driver).send_keys(*keys).perform()

    def tab_to(word):
        for _ in range(250):
            press(Keys.TAB)
            if word in visitor.here():
                return
        raise AssertionError(f"250 tabs lead to no {word}")

    visitor.system("light")
    visitor.visit("course/06-height")
    tab_to("theme-switch-button")
    theme = "return document.documentElement.dataset.theme"
    assert visitor.ask(theme) == "light"
    press(Keys.ENTER)  # a menu
    tab_to("theme-change-button  Dark")
    press(Keys.ENTER)
    assert visitor.ask(theme) == "dark"
    tab_to("IFRAME explorer")
    visitor.enter()
    visitor.until(lambda: visitor.ask("return document.documentElement.dataset.theme") == "dark")
    for _ in range(40):
        press(Keys.TAB)
        if visitor.ask("return document.activeElement.id") == "graph":
            break
    press(Keys.ARROW_DOWN)
    assert visitor.ask("return explorer.chosen.data('box').step") == 1
    visitor.driver.switch_to.default_content()
    visitor.ask("localStorage.clear()")
    visitor.visit("course/06-height")
    tab_to("search-button")
    press(Keys.ENTER)
    visitor.until(lambda: "INPUT" in visitor.here())
    press("horizon", Keys.ENTER)
    visitor.until(lambda: "search.html?q=horizon" in visitor.driver.current_url)
    visitor.until(lambda: visitor.ask("return document.querySelectorAll('.search li').length") > 3)


def test_on_a_phone_no_page_scrolls_sideways(visitor, site):
    visitor.size(390, 844)
    pages = [path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")]
    pages = [page for page in pages if not page.startswith(("_static", "_modules"))]
    assert len(pages) > 50
    wide = {}
    for page in pages:
        visitor.visit(page)
        if (width := visitor.ask("return document.documentElement.scrollWidth")) > 390:
            wide[page] = width
    assert wide == {}, wide


@pytest.mark.parametrize("theme", THEMES)
def test_pages_have_a_light_and_a_dark_theme(visitor, theme):
    visitor.system(theme)
    for page in PAGES:
        for width, height in [*SIZES, (390, 844)]:
            visitor.size(width, height)
            visitor.visit(page)
            ground = visitor.ask("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
            assert (min(ground[:3]) > 240) == (theme == "light")
            if page in LESSONS:
                visitor.enter()
                visitor.driver.switch_to.default_content()
                top, bottom = visitor.ask(FRAME)
                assert 0 <= top < bottom <= height
            visitor.screenshot(f"site-{page.rpartition('/')[2]}-{theme}-{width}x{height}")
