"""What a page does in a browser: guesses that uncover their answers."""

from pathlib import Path

import pytest

from freqkd_lite import notebook
from freqkd_lite.runner.pages import write_page
from tests.runner.books import code, new_output, settings, text, write
from tests.runner.test_pages import picture
from tests.widgets.browser_helpers import lab, needs_chromium
from tests.widgets.conftest import browser  # noqa: F401  (a fixture)

pytestmark = needs_chromium


@pytest.fixture
def asked(monkeypatch):
    """Makes cells of a question, a figure and its comparison, as a run would leave them."""
    bundles = []
    monkeypatch.setattr(notebook, "display", lambda data, **kwargs: bundles.append(data))

    def cells(truth: object, *question: object, **options: object) -> list:
        guess = notebook.predict(*question, **options)
        line = new_output("stream", text=guess.compare(truth) + "\n")
        asked, answer = (new_output("display_data", data=bundle) for bundle in bundles[-2:])
        return [
            code("mine = predict()", outputs=[asked]),
            code("by_hand()", outputs=[new_output("stream", text="by hand")]),
            code("show()", outputs=[picture("A figure.")]),
            code("print(mine.compare())", outputs=[answer, line]),
        ]

    return cells


@pytest.fixture
def opened(root: Path, browser):  # noqa: F811
    """Opens the page of cells without network; the test fails for any message of the browser."""
    pages, messages = [], []

    def open_page(*cells: object, **options: object):
        path = write(root / "notebooks", "00_start", [text("# Start\n\n> Why?"), *cells])
        made = write_page(root, path, "00_start", root / "pages")
        page = browser.new_context(offline=True, **options).new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(made.as_uri())
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert messages == []


def test_a_choice_uncovers_its_figure_by_keyboard_alone_and_is_remembered(opened, asked):
    wrong = {"RGB": "Outlines average out."}
    page = opened(settings(), *asked("heat", "Which?", ["RGB", "heat"], wrong=wrong))
    figure, printed = page.get_by_alt_text("A figure."), page.get_by_role("status")
    assert not figure.is_visible() and not page.get_by_text("Measured here").first.is_visible()
    assert page.get_by_text("by hand").is_visible() and printed.text_content() == ""
    page.get_by_role("button", name="To the question").press("Enter")
    page.keyboard.press("Space")  # the first choice
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert figure.is_visible()
    assert printed.text_content() == "Not so. Measured here: heat. Outlines average out."
    drawn = [item.strip() for item in page.locator(".drawn li").all_text_contents()]
    assert drawn == ["RGByou", "heatmeasured"]
    assert page.evaluate("document.activeElement.textContent") == "Guess again"
    page.reload()
    assert figure.is_visible() and "Not so." in printed.text_content()
    assert page.get_by_label("RGB").is_checked() and page.get_by_label("RGB").is_disabled()
    page.get_by_role("button", name="Guess again").press("Enter")
    assert not figure.is_visible() and page.locator(".drawn").count() == 0
    page.get_by_label("heat").check()
    page.get_by_role("button", name="Commit").click()
    assert printed.text_content() == "Right. Measured here: heat."


def test_a_page_judges_numbers_as_the_lab_does(opened, asked):
    wrong = {"below": "More.", "above": "Less."}
    page = opened(*asked(0.5, "How much?", between=(0, 1), wrong=wrong, close=0.2))
    commit = page.get_by_role("button", name="Commit")
    commit.click()  # nothing is given yet: the browser asks for it
    assert not page.get_by_alt_text("A figure.").is_visible()
    guess = notebook.predict("How much?", between=(0, 1), wrong=wrong, close=0.2)
    guess.compare(0.5)
    for value in (0, 0.31, 0.45, 0.5, 0.6, 0.95):
        page.get_by_role("spinbutton").fill(str(value))
        commit.click()
        guess.value = value
        assert page.get_by_role("status").text_content() == " ".join(guess.judgement()[1:])
        place = page.locator("i.yours").evaluate("e => e.style.left")
        assert float(place.rstrip("%")) == pytest.approx(100 * value)
        page.get_by_role("button", name="Guess again").click()


def test_an_answer_is_shown_on_demand_in_print_and_without_scripts(opened, asked):
    cells = asked("heat", "Which?", ["RGB", "heat"])
    page = opened(text("$$\\rho^2$$"), *cells)
    assert 5 < page.locator(".math.block svg").bounding_box()["height"] < 60
    figure = page.get_by_alt_text("A figure.")
    assert figure.evaluate("(image) => [image.naturalWidth, image.naturalHeight]") == [40, 20]
    page.emulate_media(media="print")
    assert figure.is_visible() and not page.get_by_role("button", name="Show").first.is_visible()
    page.emulate_media(media="screen")
    assert not figure.is_visible()
    page.get_by_role("button", name="Show", exact=True).click()
    assert figure.is_visible() and page.evaluate("document.activeElement.className") == "output"
    assert page.get_by_role("status").text_content().strip() == "Measured here: heat."
    plain = opened(*cells, java_script_enabled=False)
    assert plain.get_by_alt_text("A figure.").is_visible()


def test_a_run_without_a_measurement_covers_nothing(opened, asked):
    page = opened(*asked("heat", "Which?", ["RGB", "heat"])[:3])
    assert page.get_by_alt_text("A figure.").is_visible()
    assert page.get_by_role("button", name="Commit").count() == 0


def test_code_is_shown_by_cell_or_all_at_once_and_stays_so(opened):
    page = opened(settings(), code("first = 1"), code("second = 2"))
    sources = page.locator("details.code .source")
    shown = "[...document.querySelectorAll('details.code')].map((cell) => cell.open)"
    assert page.evaluate(shown) == [False] * 3 and sources.nth(1).is_hidden()
    page.locator("summary", has_text="first = 1").press("Enter")
    stays(page, shown, [False, True, False])
    page.get_by_role("button", name="Show all code").click()
    stays(page, shown, [True] * 3)
    page.get_by_role("button", name="Hide all code").click()
    stays(page, shown, [False] * 3)


def stays(page, shown: str, state: list) -> None:
    """Seen again when the page is opened again, which may be before the browser has kept it."""
    # the event on which the page keeps it comes after the key's
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    found = ([page.reload(), page.evaluate(shown)][1] for _ in range(20))
    assert state in found, f"{state} is forgotten"


def test_the_key_p_presents_one_section_a_screen(opened):
    long = "\n\n".join(["A paragraph that is not short at all, and has many words. "] * 60)
    head = "An opening.\n\n## One\n\nfirst\n\n## Two\n\n" + long
    page = opened(text(head), code("x = 1"), text("## Three\n\nlast"))
    headings = "[...document.querySelectorAll('h1, h2')].filter((e) => e.offsetParent)"
    seen = f"{headings}.map((e) => e.textContent)"
    assert len(page.evaluate(seen)) == 4
    page.keyboard.press("p")
    assert page.evaluate(seen) == ["Start"]
    page.keyboard.press("ArrowRight")
    assert page.evaluate(seen) == ["One"] and page.get_by_role("status").text_content() == "2 of 4"
    page.keyboard.press("ArrowRight")
    top = page.evaluate("scrollY")
    page.keyboard.press("ArrowRight")  # it is longer than the screen
    assert page.evaluate(seen) == ["Two"] and page.evaluate("scrollY") > top == 0
    page.keyboard.press("End")
    page.get_by_role("button", name="Back").click()
    assert page.evaluate(seen) == ["Two"]
    page.keyboard.press("Escape")
    assert len(page.evaluate(seen)) == 4
    page.get_by_label("key P").uncheck()  # a key of one letter can be turned off
    page.locator("h1").click()
    page.keyboard.press("p")
    assert len(page.evaluate(seen)) == 4
    page.get_by_role("button", name="Present").click()
    assert len(page.evaluate(seen)) == 1
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(page.evaluate(seen)) == 4


def test_slides_lead_from_page_to_page(opened, root):
    more = write(root / "notebooks", "01_more", [text("# More\n\n> Why?\n\n## End\n\nlast")])
    write_page(root, more, "01_more", root / "pages")
    page = opened(text("## End\n\nlast"))
    page.goto(f"{page.url}#present")
    page.reload()
    for shown in ("1 of 2", "2 of 2"):
        assert page.get_by_role("status").text_content() == shown
        page.keyboard.press("ArrowRight")
    page.wait_for_url("**/01_more.html#present")
    assert page.get_by_role("status").text_content() == "1 of 2"


LAB = """
from freqkd_lite.notebook import predict
mine = predict("Which?", ["RGB", "heat"], wrong={"RGB": "Outlines average out."})
print(mine.compare("heat"))
"""


def test_in_the_lab_run_all_leaves_the_question_open(browser, tmp_path):  # noqa: F811
    with lab(browser, tmp_path, LAB) as page:
        page.get_by_text("Measured here: heat.").wait_for()
        assert page.get_by_role("alert").filter(has_text="Not so").count() == 0
        page.get_by_role("radio", name="RGB").check()
        page.get_by_text("Not so. Measured here: heat. Outlines average out.").wait_for()
        page.get_by_role("radio", name="heat").check()
        page.get_by_text("Right. Measured here: heat.").wait_for()
