"""The explorer without a kernel: every control of every tab moves the picture."""

import io

import numpy as np
import pytest
from PIL import Image

from freqkd_lite import data
from freqkd_lite.errors import UserError
from freqkd_lite.features import load_backbone
from freqkd_lite.widgets import fader, own_gap
from freqkd_lite.widgets.explore import LIMIT, Explorer
from tests.widgets.test_widgets import REAL


@pytest.fixture(scope="module")
def explorer():
    backbone = load_backbone().freeze()
    pairs = data.load("scenes", "val", (84, 112), limit=3)
    return Explorer(pairs, backbone, REAL, student=backbone)


def seen(explorer):
    picture = Image.open(io.BytesIO(explorer.image.value))
    assert picture.width <= LIMIT[0] and picture.height <= LIMIT[1]
    return np.asarray(picture).astype(int)


@pytest.mark.parametrize("tab", ["bands", "knobs", "patches"])
def test_every_control_moves_the_picture(explorer, tab):
    explorer.tabs.selected_index = list(explorer.controls).index(tab)
    for name, control in explorer.controls[tab].items():
        before, value = seen(explorer), control.value
        if hasattr(control, "options"):
            options = [o[1] if isinstance(o, tuple) else o for o in control.options]
            control.value = options[-1] if options[-1] != value else options[0]
        elif isinstance(value, bool):
            control.value = not value
        else:
            control.value = 1 if value != 1 else 2
        after = seen(explorer)
        assert before.shape != after.shape or (abs(before - after) > 24).any(), name
        assert explorer.message.value == ""


def test_the_picture_is_the_widget_s_own(explorer):
    explorer.tabs.selected_index = 0
    asked = {"pair": 1, "of": "pixels", "shape": "disk", "edge": "soft", "transform": "dct"}
    for name, value in (asked | {"gain": 3, "swap": True, "cutoff": 30}).items():
        explorer.controls["bands"][name].value = value
    shown = fader(explorer.pairs[1], "disk", gain=3, edge="soft", transform="dct")
    assert explorer.picture().tobytes() == shown.card(0.3, True).tobytes()
    explorer.controls["bands"]["shape"].value = "rectangle"
    explorer.controls["bands"]["cutoff"].value = 141  # beyond a rectangle's last cutoff
    shown = fader(explorer.pairs[1], gain=3, edge="soft", transform="dct")
    assert explorer.picture().tobytes() == shown.card(1.0, True).tobytes()
    explorer.tabs.selected_index = 1
    point = {"parallax": 4.0, "paint": 0.5, "blur": 3.0, "thermal_contrast": 2.0}
    for name, value in point.items():
        explorer.controls["knobs"][name].value = value
    assert explorer.picture().tobytes() == own_gap(REAL).card(point).tobytes()


def test_what_cannot_be_shown_is_a_message_and_the_picture_stays(explorer, monkeypatch):
    def refuse(*asked):
        raise UserError("no such thing")

    explorer.tabs.selected_index = 0
    before = explorer.image.value
    monkeypatch.setattr(explorer, "faders", refuse)
    explorer.controls["bands"]["cutoff"].value = 77
    assert "no such thing" in explorer.message.value and explorer.image.value == before
    monkeypatch.undo()
    explorer.controls["bands"]["cutoff"].value = 78
    assert explorer.message.value == ""
