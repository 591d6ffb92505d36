"""The explorer without a kernel: its pictures are those of the widgets."""

import pytest

from freqkd_lite import data
from freqkd_lite.errors import UserError
from freqkd_lite.features import extract, load_backbone
from freqkd_lite.widgets import fader, own_gap, patch_similarity
from freqkd_lite.widgets.explore import Explorer
from tests.widgets.test_widgets import REAL


@pytest.fixture(scope="module")
def explorer():
    teacher, student = (load_backbone("freqkd_tiny", of).freeze() for of in (None, "random"))
    pairs = data.load("scenes", "val", (84, 112), limit=3)
    return Explorer(pairs, teacher, REAL, student)


def test_the_picture_is_the_widget_s_own(explorer):
    pair, band = explorer.pairs[1], dict(gain=3, edge="soft", transform="dct")
    asked = (("visible", "teacher"), ("infrared", "teacher"), ("infrared", "student"))
    networks = explorer.networks
    maps = [extract(networks[net], getattr(pair, kind)[None], [3])[0][0] for kind, net in asked]
    features = fader(features=tuple(maps[:2]), **band)
    point = {"parallax": 4.0, "paint": 0.5, "blur": 3.0, "thermal_contrast": 2.0}
    same = {"pair": 1, "swap": True}

    def check(tab, card, **asked):
        explorer.tabs.selected_index = list(explorer.controls).index(tab)
        for name, value in asked.items():
            explorer.controls[tab][name].value = value
        assert explorer.picture().tobytes() == card.tobytes()

    disk = fader(pair, "disk", **band).card(0.3, True)
    check("bands", disk, shape="disk", cutoff=30, **band, **same)
    # beyond a rectangle's last cutoff
    check("bands", fader(pair, **band).card(1.0, True), shape="rectangle", cutoff=141)
    check("bands", features.card(1.0, True), of="block 3")
    check("knobs", own_gap(REAL).card(point), **point)
    patches = patch_similarity(pair, *maps).card(4 * 8 + 5, True)
    check("patches", patches, row=4, column=5, block=3, **same)


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
