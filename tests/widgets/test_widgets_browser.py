"""The widgets in a browser: a page from a file with the network off, and JupyterLab."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageColor

from freqkd_lite.gap import knobs
from freqkd_lite.widgets import fader, own_gap, patch_similarity, valleys
from freqkd_lite.widgets.patch import STATES
from freqkd_lite.widgets.scrubber import COLOURS, Scrubber
from tests.widgets.browser_helpers import drag, lab, needs_chromium, pixels, settle
from tests.widgets.test_fader import MAP, pair_of
from tests.widgets.test_fader_browser import check
from tests.widgets.test_widgets import MAPS, MARKS, PAIR, REAL

pytestmark = needs_chromium


def rgb(canvas):
    return pixels(canvas)[..., :3]


@pytest.mark.parametrize(
    "of",
    [
        dict(pair=pair_of(12, 16)),
        dict(features=(MAP, MAP[::-1].copy()), shape="disk", edge="soft", transform="dct"),
    ],
)
def test_every_cutoff_of_a_fader_in_a_page(opened, of):
    shown = fader(**of)
    page, size = opened(shown), (shown.spec["height"], shown.spec["width"], 4)
    states = page.evaluate("sweep()")
    assert len(states) == len(shown.cutoffs)
    for cutoff, step, state in zip(shown.cutoffs, shown.spec["steps"], states, strict=True):
        for got, want in zip(state["pixels"], shown.panels(cutoff, False), strict=True):
            got = np.array(got[2:]).reshape(size)[..., :3]
            assert abs(got - want.astype(int)).max() <= 2, cutoff
        assert step["divergence"] in state["printed"] and state["numbers"] == [step["number"]]
    # the line of the curve stands where the slider's thumb does
    line = page.locator(".curve > line").last.evaluate("(e) => e.getBoundingClientRect().x")
    box = page.get_by_role("slider").bounding_box()
    assert abs(line - (box["x"] + box["width"] - 8)) < 1.5


def test_a_fast_drag_ends_on_its_last_value_and_never_goes_back(opened):
    """The pointer runs one way while pictures are made: each is of a later cutoff than the one
    before, and the last one is what the slider says."""
    shown = fader(pair_of(84, 112), cutoff=0.05)
    page = opened(shown)
    page.evaluate("""() => {
      window.drawn = [];
      const canvas = CanvasRenderingContext2D.prototype, put = canvas.putImageData;
      const note = () => drawn.push(document.querySelector(".freqkd-fader output").textContent);
      canvas.putImageData = function (...a) {
        put.apply(this, a);
        queueMicrotask(note);
      };
    }""")
    box = page.get_by_role("slider").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.08 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], y, steps=60)
    settle(page)
    drawn = [float(text) for text in page.evaluate("() => window.drawn")]
    index = int(page.get_by_role("slider").input_value())
    page.mouse.up()
    assert drawn == sorted(drawn) and drawn[-1] == shown.cutoffs[index] and len(set(drawn)) > 3
    check(page, shown, 0, shown.cutoffs[index], False)


@pytest.mark.parametrize("names", [("parallax", "blur"), ("thermal_contrast", "paint")])
def test_every_point_of_own_gap(opened, names):
    shown = own_gap(REAL, names, seed=3)
    page = opened(shown)
    page.locator("[data-ready]").wait_for()
    states = iter(page.evaluate("sweep()"))
    values = [knobs.KNOBS[name] for name in names]
    printed, texts = shown.spec["readouts"], [knob["texts"] for knob in shown.spec["knobs"]]
    for index, (i, j) in enumerate(np.ndindex(*map(len, values))):
        state, point = next(states), dict(zip(names, (values[0][i], values[1][j]), strict=True))
        assert (state["printed"], state["numbers"]) == (printed[index], [texts[0][i], texts[1][j]])
        y = np.array([float(p.split(",")[1]) for p in state["line"].split(" ")])
        curve = knobs.read().table(*names)[i, j]
        np.testing.assert_array_equal(shown.curve(point), curve)
        np.testing.assert_allclose(1.12 * (1 - y / 208), curve, atol=1e-3)
    # the last point is still on the screen: its pictures, as far as JPEG keeps them
    for k, want in enumerate(shown.scene(point)):
        got = rgb(page.locator("figure > canvas").nth(k))
        assert abs(got - np.asarray(want.convert("RGB")).astype(int)).mean() < 6
    page.get_by_role("slider").first.focus()  # and by key
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    settle(page)
    assert page.locator("output").first.inner_text() == shown.spec["knobs"][0]["texts"][1]


def check_patch(page, shown, patch, side):
    settle(page)
    printed = shown.captions(patch, side)
    assert page.locator("figcaption").all_inner_texts()[1:] == printed
    spoken = page.get_by_role("slider").get_attribute("aria-valuetext")
    place = f"Row {patch // 6 + 1} of 4, column {patch % 6 + 1} of 6"
    assert spoken == f"{place}. {STATES[0]}: {printed[0]}. {STATES[1]}: {printed[1]}."
    cell = shown.spec["cell"]
    y, x = np.mgrid[:4, :6]
    row, column = divmod(patch, 6)
    frame = abs(y - row) + abs(x - column) < 2  # its edge lies a pixel beyond the patch
    for i, want in enumerate(shown.panels(patch, side)):
        off = abs(rgb(page.locator("figure > canvas").nth(i)) - want.astype(int))
        off = off.reshape(4, cell, 6, cell, 3).mean((1, 3, 4))
        assert off[~frame].max() < 6


def test_a_patch_by_click_drag_and_key(opened):
    shown = patch_similarity(PAIR, *MAPS)
    page = opened(shown)
    page.locator("[data-ready]").wait_for()
    check_patch(page, shown, 15, False)
    box = page.get_by_role("slider").bounding_box()

    def at(row, column):
        across, down = (column + 0.5) / 6, (row + 0.5) / 4
        return box["x"] + across * box["width"], box["y"] + down * box["height"]

    page.mouse.click(*at(0, 5))
    check_patch(page, shown, 5, False)
    page.mouse.move(*at(3, 3))  # not held: nothing is asked
    check_patch(page, shown, 5, False)
    drag(page, at(3, 3), at(2, 1))
    check_patch(page, shown, 13, False)
    page.get_by_role("checkbox").check()
    check_patch(page, shown, 13, True)
    page.get_by_role("slider").focus()
    keys = {"Up": 7, "Left": 6, "End": 11, "Down": 17, "Right": 17, "Home": 12}
    for key, patch in keys.items():
        page.keyboard.press(key if key in ("End", "Home") else f"Arrow{key}")
        check_patch(page, shown, patch, True)


def test_a_scrubber_by_keyboard(opened):
    """The pictures are of one grey, so each patch's pixels follow from its marks."""
    shown = Scrubber(MARKS)
    page = opened(shown)
    page.locator("[data-ready]").wait_for()
    page.get_by_role("slider").focus()
    for key, step, method in ("End", 11, 0), ("Tab", 11, 0), ("ArrowRight", 11, 1):
        page.keyboard.press(key)
        settle(page)
        marks, got = shown.at(step, method), rgb(page.locator("figure > canvas").first)
        for y, x in np.ndindex(4, 6):
            k, value = marks[:, y, x].argmax(), marks[:, y, x].max()
            colour, share = ImageColor.getrgb(COLOURS[k]), 0.6 * value / 255 * (value >= 13)
            centre, edge = got[42 * y + 21, 42 * x + 21], got[42 * y + 1, 42 * x + 21]
            assert abs(centre - (40 * (1 - share) + np.array(colour) * share)).max() <= 3
            assert (abs(edge - colour).max() <= 3) == (value > 127)
        a, b = ((marks[k] > 127)[MARKS["truth"] == k] for k in (0, 1))
        printed = f"person {a.sum()} of {a.size}, car {b.sum()} of {b.size}"
        printed += f". {(marks > 127).sum() - a.sum() - b.sum()} false marks."
        printed = f"11 of 11 steps, {shown.methods[method]}. Patches found: {printed}"
        assert page.get_by_role("slider").get_attribute("aria-valuetext") == printed


@pytest.mark.parametrize("width", [1200, 700, 360])
def test_nothing_moves_while_a_slider_does(opened, width):
    """Words and numbers change with the slider; what stands around them does not."""
    maps = MAPS[0], MAPS[1]
    faders = fader(pair_of(12, 16)), fader(features=maps)
    others = own_gap(REAL), patch_similarity(PAIR, *MAPS), Scrubber(MARKS), valleys([MAPS[:1]])
    page = opened(*faders, *others, viewport={"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name, seen, printed in page.evaluate("still()"):
        assert printed > 10 and len(seen) == 1, name


CELL = """
from IPython.display import display
from freqkd_lite.widgets import fader, own_gap, patch_similarity, valleys
from tests.widgets.test_fader import pair_of
from freqkd_lite.widgets.scrubber import Scrubber
from tests.widgets.test_widgets import MAPS, MARKS, PAIR, REAL, drawn
(weight := drawn()).curve = [0.5] * 8
shown = globals().get("shown") or fader(pair_of(24, 32), cutoff=0.2)
display(shown, own_gap(REAL), patch_similarity(PAIR, *MAPS), Scrubber(MARKS))
display(valleys([MAPS[:1]]), weight)"""


def test_in_jupyterlab_sliders_follow_mouse_and_keys_and_python_hears_of_it(
    browser, tmp_path, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    shown = fader(pair_of(24, 32), cutoff=0.2)
    with lab(browser, tmp_path, CELL) as page:
        page.locator(".freqkd").nth(5).wait_for(timeout=120_000)
        slider = page.get_by_role("slider", name="Cutoff")
        for share in (0.7, 0.35):
            slider.scroll_into_view_if_needed()
            box = slider.bounding_box()
            y = box["y"] + box["height"] / 2
            now = int(slider.input_value()) / 99
            thumb = box["x"] + 8 + now * (box["width"] - 16), y
            drag(page, thumb, (box["x"] + share * box["width"], y), steps=12)
            settle(page)
            cutoff = shown.cutoffs[int(slider.input_value())]
            assert abs(cutoff - share) < 0.06
            check(page, shown, 0, cutoff, False)
        # Arrows move the slider that has the focus, not the lab's selection of cells.
        for kind in ("fader", "gap", "patch", "scrubber", "valleys", "weight"):
            any_kind = "input[type=range], canvas.ask, .point"
            slider = page.locator(f".freqkd-{kind} :is({any_kind})").first
            slider.focus()
            position = "(e) => Number(e.value ?? e.getAttribute('aria-valuenow'))"
            before = slider.evaluate(position)
            for key in ("ArrowRight", "ArrowUp", "ArrowLeft", "ArrowRight"):
                page.keyboard.press(key)
                settle(page)
                assert slider.evaluate("(e) => e === document.activeElement"), (kind, key)
            assert slider.evaluate(position) != before, kind
        cutoff = shown.cutoffs[int(page.get_by_role("slider", name="Cutoff").input_value())]
        page.keyboard.press("Escape")
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+End")
        page.keyboard.type("\nprint('heard', shown.cutoff)")
        page.keyboard.press("Control+Enter")
        heard = page.locator(".jp-OutputArea pre", has_text=f"heard {cutoff}").first
        heard.wait_for(timeout=60_000)
