"""Every page, and every widget in it, by the rules of WCAG 2.2 AA as axe-core checks them."""

from pathlib import Path

import pytest

from freqkd_lite.runner.pages import write_index, write_page
from freqkd_lite.runner.parameters import find_notebooks
from tests.widgets.browser_helpers import needs_chromium
from tests.widgets.conftest import browser  # noqa: F401  (a fixture)

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: no such check")
pytestmark = needs_chromium
ROOT = Path(__file__).parent.parent.parent
STEMS = [path.stem for path in find_notebooks(ROOT / "notebooks")]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
VIEWS = [("light", 1280), ("dark", 390)]


def violations(page) -> list[str]:
    found = axe.Axe().run(page, options=RULES).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:150]}" for v in found]


@pytest.mark.parametrize("stem", [*STEMS, "index", "glossary"])
def test_a_page_and_its_widgets_have_no_violations(browser, tmp_path, stem):  # noqa: F811
    if stem in STEMS:
        write_page(ROOT, ROOT / "notebooks" / f"{stem}.ipynb", stem, tmp_path)
    else:
        write_index(ROOT, tmp_path)
    for scheme, width in VIEWS:
        view = {"width": width, "height": 800}
        with browser.new_context(offline=True, viewport=view, color_scheme=scheme) as context:
            page = context.new_page()
            page.goto((tmp_path / f"{stem}.html").as_uri())
            page.wait_for_load_state()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert violations(page) == [], "as it opens"
            if stem in STEMS:
                everything(page)
                assert violations(page) == [], "all shown, all moved"
                page.keyboard.press("p")
                assert violations(page) == [], "presented"


def everything(page) -> None:
    """Shows what is covered or folded, and moves what can be moved."""
    for name in ("Show the answer", "Show all code"):
        for button in page.get_by_role("button", name=name).all():
            button.click()
    page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
    for slider in page.locator("input[type=range]").all():
        slider.press("End")
    for box in page.locator(".freqkd input[type=checkbox]").all():
        box.check()
    page.locator("h1").click()
