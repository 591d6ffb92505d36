"""The fader in a browser: a page from a file, without network or kernel, moved by hand and key."""

import base64
import re
import shutil

import numpy as np
import pytest

from freqkd_lite.widgets import fader
from freqkd_lite.widgets.embed import module
from tests.test_fader import MAP, pair_of

playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright: no browser tests")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: the fader's page is not run")

READ = """(canvas) => {
  const { width, height } = canvas, copy = new OffscreenCanvas(width, height);
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return [height, width, ...context.getImageData(0, 0, width, height).data];
}"""


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def faders():
    return fader(pair_of(42, 56), cutoff=0.2), fader(features=(MAP, MAP[::-1].copy()), shape="disk")


@pytest.fixture
def page(browser, faders, tmp_path):
    """A page with two faders; the test fails for any request or message of the browser."""
    html = "".join(shown.page_html() for shown in faders)
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'><title>x</title><body>{html}")
    context = browser.new_context(offline=True, viewport={"width": 1000, "height": 900})
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.locator(".freqkd-fader").nth(1).wait_for()
    yield page
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", file.as_uri()))] == []
    context.close()


def settle(page):
    page.evaluate("() => new Promise((go) => requestAnimationFrame(() => setTimeout(go)))")


def check(page, shown, which, cutoff, swap):
    """Every pixel on the screen, within 2 grey levels of what split_bands gives."""
    settle(page)
    root = page.locator(".freqkd-fader").nth(which)
    for i, want in enumerate(shown.panels(cutoff, swap)):
        h, w, *pixels = root.locator("figure > canvas").nth(i).evaluate(READ)
        got = np.array(pixels).reshape(h, w, 4)
        assert abs(got[..., :3] - want.astype(int)).max() <= 2
        assert (got[..., 3] == 255).all()
    assert root.locator("output").inner_text() == f"{cutoff:.2f}"
    step = shown._spec["steps"][shown.cutoffs.index(cutoff)]
    captions = root.locator("figcaption").all_inner_texts()
    assert captions[0].startswith(f"{step['shares'][int(swap)][0]} % of ")
    assert captions[1].startswith(f"{step['shares'][int(not swap)][1]} % of ")
    spoken = root.locator("input[type=range]").get_attribute("aria-valuetext")
    assert spoken.startswith(f"{cutoff:.2f} of the Nyquist frequency") and "cycles per" in spoken


def test_the_slider_follows_the_mouse(page, faders):
    check(page, faders[0], 0, 0.2, False)
    slider = page.get_by_role("slider").first
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.2 * box["width"], y)
    page.mouse.down()
    seen = set()
    for share in (0.3, 0.5, 0.7, 0.4):
        page.mouse.move(box["x"] + share * box["width"], y, steps=4)
        index = int(slider.input_value())
        assert abs(index / 99 - share) < 0.05
        check(page, faders[0], 0, faders[0].cutoffs[index], False)
        seen.add(index)
    page.mouse.up()
    assert len(seen) == 4
    check(page, faders[1], 1, 0.5, False)  # the other one stays


def test_keyboard_and_swap(page, faders):
    slider, box = page.get_by_role("slider").first, page.get_by_role("checkbox").first
    words = [c.get_attribute("aria-label") for c in page.get_by_role("img").all()[:3]]
    assert words[0].startswith("Low band of RGB, RGB and infrared of one scene. 0.20 of")
    page.keyboard.press("Tab")
    assert slider.evaluate("(e) => e === document.activeElement && e.matches(':focus-visible')")
    assert slider.evaluate("(e) => getComputedStyle(e).outlineStyle") == "solid"
    for key, cutoff in (("ArrowRight", 0.21), ("ArrowDown", 0.2), ("Home", 0.01), ("End", 1.0)):
        page.keyboard.press(key)
        check(page, faders[0], 0, cutoff, False)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert box.is_checked()
    check(page, faders[0], 0, 1.0, True)
    after = [c.get_attribute("aria-label") for c in page.get_by_role("img").all()[:3]]
    assert after[0].startswith("Low band of infrared") and after[1].startswith("High band of RGB")
    assert slider.get_attribute("aria-label") == (
        "Cutoff, as a share of the Nyquist frequency of an axis"
    )


def test_features_on_a_disk_reach_the_corner(page, faders):
    page.get_by_role("slider").nth(1).focus()
    page.keyboard.press("End")
    settle(page)
    root = page.locator(".freqkd-fader").nth(1)
    assert root.locator("output").inner_text() == "1.414"
    page.keyboard.press("Home")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    root.get_by_role("checkbox").check()
    check(page, faders[1], 1, 0.31, True)
    canvas = root.locator("figure > canvas").first
    assert canvas.evaluate("(e) => getComputedStyle(e).imageRendering") == "pixelated"


def test_no_width_overflows(page):
    for width in (480, 700, 1200):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_picture_stays(browser, faders, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'><body>{faders[0].page_html()}")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    picture = page.get_by_role("img")
    assert picture.count() == 1 and picture.bounding_box()["width"] > 600
    assert "Low band of RGB" in picture.get_attribute("alt")
    context.close()


def test_events_are_coalesced_echoes_ignored_and_nothing_stays_behind(page):
    """Many events make one picture; what the kernel echoes during a drag does not pull the slider
    back; set from Python the widget follows; destroyed, it hears nothing more."""
    script = base64.b64encode(module("fader").encode()).decode()
    html = page.content()
    state = re.search(r"const state = (\{.*?\}), heard", html)[1]
    pixels = re.search(r"Object\.entries\(\{\"_pixels\": \"([^\"]+)\"", html)[1]
    result = page.evaluate(
        """async ([module, state, pixels]) => {
        const { default: widget } = await import("data:text/javascript;base64," + module);
        const bytes = Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0));
        const values = { ...JSON.parse(state), _pixels: new DataView(bytes.buffer) };
        const heard = new Map(), el = document.createElement("div"), saved = [];
        document.body.append(el);
        const model = {
          get: (name) => values[name],
          set: (name, value) => {
            if (values[name] === value) return;
            values[name] = value;
            heard.get("change:" + name)?.();
          },
          on: (name, call) => heard.set(name, call),
          off: (name) => heard.delete(name),
          save_changes: () => saved.push(values.cutoff),
        };
        let drawn = 0;
        const put = CanvasRenderingContext2D.prototype.putImageData;
        CanvasRenderingContext2D.prototype.putImageData = function (...a) {
          drawn += 1;
          return put.apply(this, a);
        };
        const frame = () => new Promise((go) => requestAnimationFrame(() => setTimeout(go)));
        const destroy = widget.render({ model, el });
        const slider = el.querySelector("input[type=range]");
        drawn = 0;
        for (let i = 0; i < 60; i++) {
          slider.value = i;
          slider.dispatchEvent(new Event("input"));
        }
        await frame();
        const out = { drawn, saved: [...saved] };
        slider.dispatchEvent(new Event("pointerdown"));
        slider.value = 80;
        slider.dispatchEvent(new Event("input"));
        await frame();
        model.set("cutoff", 0.3); // an old position comes back
        await frame();
        out.dragged = Number(slider.value);
        slider.dispatchEvent(new Event("pointerup"));
        model.set("cutoff", 0.4);
        model.set("swap", true);
        await frame();
        out.followed = [Number(slider.value), el.querySelector("[type=checkbox]").checked];
        const box = el.querySelector("[type=checkbox]");
        slider.value = 3; // both at once, within one frame
        slider.dispatchEvent(new Event("input"));
        box.checked = false;
        box.dispatchEvent(new Event("change"));
        drawn = 0;
        await frame();
        await frame();
        out.both = [values.cutoff, values.swap, Number(slider.value), box.checked, drawn];
        slider.value = 4;
        slider.dispatchEvent(new Event("input"));
        drawn = 0;
        destroy();
        await frame();
        CanvasRenderingContext2D.prototype.putImageData = put;
        return { ...out, late: drawn, listeners: heard.size, left: el.childNodes.length };
    }""",
        [script, state, pixels],
    )
    assert result == {
        "drawn": 3, "saved": [0.6], "dragged": 80, "followed": [39, True],
        "both": [0.04, False, 3, False, 3],
        "late": 0, "listeners": 0, "left": 0,
    }  # fmt: skip
