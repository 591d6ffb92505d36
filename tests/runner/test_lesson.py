"""The lesson as handed out, in Chromium without network: every question answered, every widget
moved by mouse and by keys, each state by the rules of WCAG 2.2 AA as axe-core checks them."""

from zipfile import ZipFile

import pytest

from tests.widgets.browser_helpers import drag, needs_chromium, new_page, settle
from tests.widgets.conftest import browser  # noqa: F401  (a fixture)
from tools.handouts import ROOT, TOP, write

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: no such check")
pytestmark = needs_chromium
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
SIZES = [(1280, 800, "light"), (390, 800, "dark")]  # and by hand 1024 x 768
CONTROLS = "input[type=range], canvas.ask, .point"


@pytest.fixture(scope="module")
def handouts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handouts")
    with ZipFile(write(folder / "handouts.zip", pages=folder)) as bundle:
        bundle.extractall(folder)
    return folder / TOP


@pytest.fixture(params=SIZES, ids=str)
def page(request, browser):  # noqa: F811
    """A page of one size; the test fails for any message of the browser and any request."""
    width, height, scheme = request.param
    view = {"width": width, "height": height}
    opened, messages = new_page(browser, offline=True, viewport=view, color_scheme=scheme), []
    opened.on("console", lambda message: messages.append(message.text))
    opened.on("pageerror", lambda error: messages.append(str(error)))
    opened.on("request", lambda asked: messages.append(asked.url))
    yield opened
    opened.context.close()
    assert [text for text in messages if not text.startswith(("file:", "data:", "blob:"))] == []


def fits_and_is_accessible(page, state: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url
    found = axe.Axe().run(page, options=RULES).response["violations"]
    assert [f"{v['id']}: {v['nodes'][0]['html'][:150]}" for v in found] == [], (page.url, state)


def test_a_lesson_from_the_first_page_to_the_claims(page, handouts):
    page.goto((handouts / "START_HERE.html").as_uri())
    fits_and_is_accessible(page, "as it opens")
    page.get_by_role("link", name="00", exact=True).click()
    seen = 1
    while (after := page.locator("a[rel=next]").last).count():
        lesson(page)
        after.click()
        seen += 1
    lesson(page)
    assert seen == len(list((ROOT / "notebooks").glob("[0-9]*.ipynb")))


def lesson(page) -> None:
    """Everything that there is to do on a page."""
    fits_and_is_accessible(page, "as it opens")
    for form in page.locator("form.predict").all():
        guess = form.locator("input").first
        guess.press("Space" if guess.get_attribute("type") == "radio" else "1")
        page.keyboard.press("Enter")
        assert "Measured here" in form.get_by_role("status").text_content()
    assert page.locator(".lid").count() == 0
    for control in page.locator(f".freqkd :is({CONTROLS})").all():
        settle(page)
        values = [place(control)]
        # where nothing lies above it that stays at the top of a phone's screen
        control.evaluate("(e) => e.scrollIntoView({ block: 'center' })")
        box = control.bounding_box()
        upright = control.get_attribute("aria-orientation") == "vertical"
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        drag(page, (x, y), (x + (0 if upright else box["width"] / 3), y + 25 * upright))
        for keys in [], ["Home", "ArrowRight", "ArrowUp"]:
            for key in keys:
                control.press(key)
            settle(page)
            values.append(place(control))
        assert values[0] != values[1] != values[2], (page.url, control.get_attribute("aria-label"))
    for box in page.locator(".freqkd input[type=checkbox]").all():
        box.press("Space")
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    fits_and_is_accessible(page, "all shown, all moved")
    page.locator("h1").click()
    page.keyboard.press("p")
    fits_and_is_accessible(page, "presented")
    page.keyboard.press("Escape")


def place(control) -> str:
    """Where a slider, a point or a picture's patch stands."""
    return control.evaluate("(e) => e.value ?? e.getAttribute('aria-valuenow')")


def test_pages_beside_the_lesson_have_no_violations(page, handouts):
    beside = [handouts / "pages" / f"{name}.html" for name in ("index", "glossary", "lecturer")]
    for file in (*beside, *sorted((handouts / "exercises").glob("*.html"))):
        page.goto(file.as_uri())
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        fits_and_is_accessible(page, "all shown")
