"""Fixtures of the browser tests."""

import pytest

from benchmarks.browser import browser as started
from tests.widgets.browser_helpers import new_page


@pytest.fixture(scope="module")
def browser():
    with started() as browser:
        yield browser


@pytest.fixture
def opened(browser, tmp_path):
    """Opens widgets on a page without network; the test fails for any request or message."""
    messages, requests, pages = [], [], []

    def open_page(*widgets, **options):
        html = "".join(widget.page_html() for widget in widgets)
        file = tmp_path / "page.html"
        file.write_text(f"<!doctype html><meta charset='utf-8'><title>x</title><body>{html}")
        view = {"viewport": {"width": 1000, "height": 900}} | options
        page = new_page(browser, offline=True, **view)
        pages.append(page)
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(file.as_uri())
        page.locator(".freqkd").nth(len(widgets) - 1).wait_for()
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert messages == []
    assert [url for url in requests if not url.startswith(("data:", "blob:", "file:"))] == []
