"""A check in the terminal and as a page: the answer first, every picture described."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from freqkd_lite.cli.app import app
from freqkd_lite.data.check import check
from freqkd_lite.data.faults import Problem
from freqkd_lite.results.pages import problems
from freqkd_lite.viz import check as shown
from tests.data.test_check import pairs, save, scene  # noqa: F401  (a fixture)
from tests.refused import refusals
from tests.widgets.browser_helpers import needs_chromium
from tests.widgets.conftest import browser  # noqa: F401  (a fixture)


def test_the_first_line_is_the_answer(pairs):  # noqa: F811
    text = shown.as_text(check("folder", pairs))
    verdict, _, numbers = text.splitlines()[0].partition(": ")
    assert (verdict, re.findall(r"\d+", numbers)) == ("usable", ["6", "100", "6", "90", "50"])
    assert "240x180: 6" in text and "person 3, car 2" in text


def test_long_lists_are_cut_in_the_terminal_but_not_unreadable_files(pairs):  # noqa: F811
    report = check("folder", pairs)
    report.problems = [
        Problem(kind, pairs, f"{kind} {k}")
        for kind in ("unreadable", "box outside")
        for k in range(30)
    ]
    text, page = shown.as_text(report), shown.write_page(report, pairs / "page.html").read_text()
    assert "- unreadable 29" in text and "- box outside 20" not in text and "10 more" in text
    assert "box outside 29" in page


def test_the_page_is_readable_offline_and_describes_its_pictures(pairs):  # noqa: F811
    page = shown.write_page(check("folder", pairs), pairs / "page.html").read_text()
    assert problems(page) == []
    assert page.index("6 pairs") < page.index("Worst aligned") < page.index("Contact sheet")
    assert page.count('src="data:image/jpeg;base64,') == 12
    assert 'alt="The infrared picture of n1 with boxes: 1 car."' in page
    assert "person orange, car sky blue" in page and "n0, 1 person, 2.2 px off" in page


def test_boxes_are_drawn_where_they_are(pairs, monkeypatch):  # noqa: F811
    monkeypatch.setattr(shown, "WIDTH", 480)  # twice the size
    _, [(jpeg, _), _] = shown.sample(check("folder", pairs), "n0")
    picture = np.asarray(Image.open(io.BytesIO(jpeg)), dtype=int)
    # The scene is grey, so red stands above blue only where the orange outline is, JPEG or not.
    ys, xs = np.nonzero(picture[..., 0] - picture[..., 2] > 60)
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == pytest.approx((24, 36, 72, 108), abs=2)


# Opacities that are seen within one turn.
SEEN = """async (picture) => {
  const seen = new Set(), end = performance.now() + 1600;
  for (; performance.now() < end; await new Promise(requestAnimationFrame))
    seen.add(Number(getComputedStyle(picture).opacity));
  return [...seen].sort();
}"""


@needs_chromium
def test_cameras_are_laid_over_each_other_and_blink_where_motion_is_wanted(browser, pairs):  # noqa: F811
    file = shown.write_page(check("folder", pairs), pairs / "page.html")
    for motion, opacities in (("no-preference", [0, 1]), ("reduce", [0.5])):
        page = browser.new_page(reduced_motion=motion)
        page.goto(file.as_uri())
        figure = page.locator(".sheet figure").first
        visible, infrared = figure.locator("img").all()
        for key, pressed, seen in (("Enter", "true", opacities), ("Space", "false", [1])):
            button = figure.get_by_role("button", name="Overlay")
            button.press(key)
            assert button.get_attribute("aria-pressed") == pressed
            over = visible.bounding_box() == infrared.bounding_box()
            assert over == (pressed == "true") and infrared.evaluate(SEEN) == seen
        page.close()


def run(*arguments, answer=None):
    return CliRunner().invoke(app, ["data", *map(str, arguments)], answer)


def test_check_ends_with_status_1_where_loading_would_refuse(pairs):  # noqa: F811
    good = run("check", "folder", "--root", pairs, "--html", pairs / "page.html")
    assert good.exit_code == 0 and (pairs / "page.html").is_file()
    two = run("check", "folder", "--visible", pairs / "rgb", "--infrared", pairs / "thermal")
    assert two.exit_code == 0 and "boxes" not in two.output
    (pairs / "rgb" / "n1.png").write_bytes(b"")
    bad = run("check", "folder", "--root", pairs)
    assert bad.exit_code == 1 and bad.output.startswith("not usable: 1 problem: 1 unreadable")


def answer_to(command, name):
    raise run(command, name).exception


test_names_that_can_not_be_used_are_answered = refusals(
    ({"command": "check", "name": "flir"}, "`folder`"),
    ({"command": "check", "name": "rodscene"}, "'roadscene'"),
    ({"command": "get", "name": "llvip"}, "llvip"),
    call=answer_to,
)


def test_list_and_describe_say_what_is_here_and_where_to_ask(monkeypatch, tmp_path):
    monkeypatch.setenv("FREQKD_DATA", str(tmp_path))
    for k in range(2):
        save(tmp_path / "roadscene" / "vi" / f"FLIR_{k}.jpg", scene(k))
        save(tmp_path / "roadscene" / "ir" / f"FLIR_{k}.jpg", scene(k))
    lines = {line.split()[0]: line for line in run("list").output.splitlines()}
    assert lines["roadscene"].endswith(f"2 in {tmp_path / 'roadscene'}")
    assert lines["msrs"].endswith("not here") and lines["scenes"].endswith("always here")
    for name, ask in {"kaist": "rgbt-ped-detection", "flir": "adas-dataset-form"}.items():
        assert ask in run("describe", name).output


def test_get_asks_and_does_nothing_without_a_yes(monkeypatch, tmp_path):
    from freqkd_lite.data import download

    asked = []
    monkeypatch.setattr(download, "get", lambda *a: asked.append(a) or tmp_path / "roadscene")
    refused = run("get", "roadscene", "--root", tmp_path, answer="n\n")
    assert refused.exit_code == 1 and not asked and "Licence" in refused.output
    assert run("get", "roadscene", "--root", tmp_path, "--yes").exit_code == 0 and len(asked) == 1
