"""The fader in a browser: a page from a file, without network or kernel, moved by hand and key."""

import base64

import numpy as np
import pytest
from PIL import Image

from freqkd_lite.widgets import fader
from freqkd_lite.widgets.embed import module
from tests.widgets.browser_helpers import needs_chromium, new_page, pixels, settle
from tests.widgets.test_fader import MAP, pair_of

pytestmark = needs_chromium


@pytest.fixture
def faders():
    return fader(pair_of(42, 56), cutoff=0.2), fader(features=(MAP, MAP[::-1].copy()), shape="disk")


@pytest.fixture
def page(opened, faders):
    """A page with two faders."""
    return opened(*faders)


def check(page, shown, which, cutoff, swap):
    """Every pixel on the screen, within 2 grey levels of what split_bands gives."""
    settle(page)
    root = page.locator(".freqkd-fader").nth(which)
    for i, want in enumerate(shown.panels(cutoff, swap)):
        got = pixels(root.locator("figure > canvas").nth(i))
        assert abs(got[..., :3] - want.astype(int)).max() <= 2
        assert (got[..., 3] == 255).all()
    assert root.locator("output").inner_text() == f"{cutoff:.2f}"
    step = shown.spec["steps"][shown.cutoffs.index(cutoff)]
    captions = root.locator("figcaption").all_inner_texts()
    assert captions[0].startswith(f"{step['shares'][int(swap)][0]} % of ")
    assert captions[1].startswith(f"{step['shares'][int(not swap)][1]} % of ")
    spoken = root.locator("input[type=range]").get_attribute("aria-valuetext")
    assert spoken.startswith(f"{cutoff:.2f} of the Nyquist frequency") and "cycles per" in spoken


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
    check(page, faders[1], 1, 0.5, False)  # the other one stays
    canvas = page.locator(".freqkd-fader").nth(1).locator("figure > canvas").first
    assert canvas.evaluate("(e) => getComputedStyle(e).imageRendering") == "pixelated"  # features
    after = [c.get_attribute("aria-label") for c in page.get_by_role("img").all()[:3]]
    assert after[0].startswith("Low band of infrared") and after[1].startswith("High band of RGB")
    name = "Cutoff, as a share of the Nyquist frequency of an axis"
    assert slider.get_attribute("aria-label") == name


def test_own_pictures_are_split_as_python_splits_them(opened, tmp_path):
    """The first is twice as wide as the fader's, and cut around its middle; nothing is sent."""
    page, names = opened(fader(pair_of(42, 56), cutoff=0.2)), ("rgb.png", "heat.png")
    coarse = np.random.default_rng(3).integers(0, 256, (2, 6, 16, 3), "uint8")
    pictures = [Image.fromarray(x).resize((112, 42), Image.Resampling.BICUBIC) for x in coarse]
    pictures[1] = pictures[1].convert("L").crop((28, 0, 84, 42))
    for picture, name in zip(pictures, names, strict=True):
        picture.save(tmp_path / name)
    choose = page.get_by_label("Your own pictures")
    choose.set_input_files([tmp_path / name for name in names])
    page.get_by_text("Shown: rgb.png and heat.png.").wait_for()
    cut = pictures[0].crop((28, 0, 84, 42)), pictures[1].convert("RGB")
    want = fader(tuple(np.array(x).transpose(2, 0, 1) for x in cut), cutoff=0.2)
    check(page, want, 0, 0.2, False)
    assert want.step(0.2)["divergence"] in page.locator(".readout").inner_text()
    (tmp_path / "note.txt").write_text("no picture")
    choose.set_input_files([tmp_path / "note.txt"])
    page.get_by_text("note.txt: no picture that this browser reads.").wait_for()
    check(page, want, 0, 0.2, False)


def test_without_scripts_the_picture_stays(browser, faders, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'><body>{faders[0].page_html()}")
    page = new_page(browser, java_script_enabled=False)
    page.goto(file.as_uri())
    picture = page.get_by_role("img")
    assert picture.count() == 1 and picture.bounding_box()["width"] > 600
    assert "Low band of RGB" in picture.get_attribute("alt")
    page.context.close()


SCRIPT = base64.b64encode(module("fader").encode()).decode()


@pytest.fixture
def blank(browser):
    page = new_page(browser, offline=True)
    page.goto("about:blank")
    yield page
    page.context.close()


@pytest.fixture
def stage(blank, faders):
    """A page with `window.stage`: a fader on a model that notes what Python would hear."""
    shown = faders[0]
    state = {name: getattr(shown, name) for name in ("spec", "cutoff", "swap")}
    blank.evaluate("startStage", [SCRIPT, state, base64.b64encode(shown.pixels).decode()])
    return blank


def test_events_are_coalesced_and_the_last_state_reaches_python(stage):
    """Many events make one picture; a drag is told of a few times a second, and its end always."""
    found = stage.evaluate("""async () => {
      const { model, frame, move, until } = stage, { values, saved } = model;
      for (let i = 0; i < 60; i++) move(i);
      await frame();
      const drawn = stage.drawn;
      await until(() => values.cutoff === 0.6);
      const first = saved.length;
      for (let i = 0; i < 45; i++) { // a drag of some 0.7 s
        move(i % 2 ? 70 + i / 5 : 20 + i / 5);
        await frame();
      }
      move(90);
      await until(() => values.cutoff === 0.91);
      stage.box.checked = true; // both at once, within one frame
      move(3);
      stage.box.dispatchEvent(new Event("change"));
      await until(() => values.cutoff === 0.04);
      return { drawn, first, saved };
    }""")
    assert found["drawn"] == 3 and found["first"] == 1
    times, *states = zip(*found["saved"], strict=True)
    assert len(times) >= 3 and np.diff(times).min() > 195  # timers are early by their grain at most
    assert [*zip(*states, strict=True)][-2:] == [(0.91, False), (0.04, True)]


def test_echoes_are_ignored_and_python_is_followed(stage):
    """What the kernel echoes during a drag does not pull the slider back, nor what comes before
    Python has heard of it; set from Python after that, the widget follows and says nothing."""
    found = stage.evaluate("""async () => {
      const { model, slider, box, frame, move, until } = stage, { values, saved } = model;
      slider.dispatchEvent(new Event("pointerdown"));
      move(80);
      await until(() => values.cutoff === 0.81);
      model.set("cutoff", 0.3); // an old position comes back while the slider is held
      await frame();
      const out = { held: Number(slider.value) };
      slider.dispatchEvent(new Event("pointerup"));
      move(70);
      await new Promise((go) => requestAnimationFrame(() => {
        model.set("cutoff", 0.35); // and one while Python has not heard yet
        go();
      }));
      await frame();
      out.pending = Number(slider.value);
      await until(() => values.cutoff === 0.71);
      const told = saved.length;
      stage.drawn = 0;
      model.set("cutoff", 0.4);
      model.set("swap", true);
      await until(() => stage.drawn);
      await frame();
      return { ...out, followed: [Number(slider.value), box.checked, stage.drawn],
        asked: [...stage.waiting].filter((what) => what.startsWith("setTimeout")).length,
        told: saved.length - told, values: [values.cutoff, values.swap] };
    }""")
    expected = dict(held=80, pending=70, followed=[39, True, 3], asked=0, told=0)
    assert found == expected | {"values": [0.4, True]}


@pytest.mark.parametrize("drawn", [True, False])
def test_a_stopped_widget_tells_its_last_state_and_nothing_stays_behind(stage, drawn):
    found = stage.evaluate(
        """async (drawn) => {
      const { model, el, frame, move, until, waiting } = stage, { values, saved } = model;
      move(50);
      await until(() => values.cutoff === 0.51);
      const before = saved.length;
      move(4);
      const end = () => {
        stage.drawn = 0;
        stage.stop();
        return { told: saved.length - before, last: saved.at(-1)[1], waiting: [...waiting] };
      };
      const out = drawn // on the screen, and Python has not heard of it; or not even that
        ? await new Promise((go) => requestAnimationFrame(() => go(end()))) : end();
      await frame();
      return { ...out, late: stage.drawn, listeners: model.heard.size, left: el.childNodes.length };
    }""",
        drawn,
    )
    assert found == {"told": 1, "last": 0.05, "waiting": [], "late": 0, "listeners": 0, "left": 0}


def ahead(page, script, bytes=4 * 3 * 12 * 14):
    cutoffs = [(i + 1) / 20 for i in range(20)]
    page.evaluate("startAhead", [SCRIPT, [12, 14], cutoffs, 7, bytes])
    return page.evaluate(script)


def test_what_is_computed_ahead_is_the_split_itself(blank):
    """While the page is idle, nearest first, as many as there is time for; each but once."""
    found = ahead(
        blank,
        """() => {
      idle(0); // something is being drawn
      const busy = asked.length, again = waiting.length;
      low.at(15);
      idle(4);
      const order = [...asked];
      idle(100);
      const worst = Math.max(...cutoffs.map((_, i) => off(i)));
      return { busy, again, order, worst, count: asked.length, waiting: waiting.length };
    }""",
    )
    assert found.pop("worst") == 0
    order = [0.8, 0.4, 0.35, 0.45, 0.3]
    assert found == {"busy": 0, "again": 1, "order": order, "count": 20, "waiting": 0}


def test_beyond_its_limit_nothing_is_computed_ahead_or_kept(blank):
    found = ahead(
        blank,
        """() => {
      const worst = Math.max(...cutoffs.map((_, i) => off(i)));
      low.at(3);
      return { waiting: waiting.length, worst: worst < 1e-7, asked: asked.length };
    }""",
        bytes=3_200_001,
    )
    assert found == {"waiting": 0, "worst": True, "asked": 21}
    assert ahead(blank, "() => waiting.length", bytes=3_200_000) == 1  # 64 MB for 20 steps
    stopped = "() => { idle(2); low.stop(); idle(100); return asked.length; }"
    assert ahead(blank, stopped) == 2
