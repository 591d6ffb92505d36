"""The demo: what distillation did, in closed forms; then one whole run on drawn folders, twice."""

import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from freqkd_lite import gap
from freqkd_lite.cli.app import app
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone
from freqkd_lite.gap import controls
from freqkd_lite.gap import words as gap_words
from freqkd_lite.results.pages import problems
from freqkd_lite.results.rows import Row
from freqkd_lite.runner import demo
from freqkd_lite.viz.students import before_and_after, principal_colours, side_by_side
from tests.gap.test_study import Fields, Pixels, noise


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "runs"))
    yield
    plt.close("all")


# --------------------------------------------------------------------- how near the student came


class Turned(Pixels):
    """Sees an image turned by half, and three times as strong."""

    def forward_intermediates(self, images, indices, **about):
        return [3 * images.flip(-2, -1) for _ in indices]


def test_a_student_that_undoes_what_infrared_did_is_the_teacher_itself():
    """Infrared is RGB turned by half: unrelated for the teacher (a mere mirror would keep waves
    that run along its axis), the same for a student that turns it back. That it is three times as
    strong must not matter: the losses don't see it."""
    teacher = Backbone(Pixels(), "pixels", "made here", "c" * 64).freeze()
    student = Backbone(Turned(), "pixels", "made here", None).freeze()
    pairs = Fields(lambda i: (noise(i), noise(i).flip(-2, -1)), 40)
    learned = gap.measure(pairs, teacher, [1], ("distilled", "undistilled"), student=student,
                          progress=False)  # fmt: skip
    for row in learned["rows"]:
        if row["metric"] == "normalised":
            at = 0 if row["pairing"] == "distilled" else 1
            assert (row["low"], row["high"]) == pytest.approx((at, at), abs=0.15 if at else 1e-5)
    assert demo.answer(learned).startswith("Yes: in energy-normalised divergence it came nearer")
    assert "40 held-out pairs, mean over block 1." in demo.answer(learned)


def levels(low, high, low_change, high_change):
    """What `gap.measure` gives, as far as the answer reads it."""
    common = {"band": "disk25_75", "metric": "normalised", "n": 30}
    summary = [{**common, "pairing": p, "low": v[0], "high": v[1]} for p, v in
               (("distilled", (low[1], high[1])), ("undistilled", (low[0], high[0])))]  # fmt: skip
    contrast = {**common, "pairing": "undistilled", "low_interval": low_change,
                "high_interval": high_change}  # fmt: skip
    return {"summary": summary, "contrasts": [contrast], "layers": [2, 5]}


@pytest.mark.parametrize(
    ("low_change", "high_change", "says"),
    [
        ([-0.2, -0.1], [-0.2, -0.1], "Yes: .*came nearer at low .*and nearer at high"),
        ([-0.2, -0.1], [-0.1, 0.1], "In one band: .*came nearer at low .*and no nearer at high"),
        ([0.1, 0.2], [-0.2, -0.1], "In one band: .*came farther off at low .*and nearer at high"),
        ([-0.1, 0.1], [0.1, 0.2], "No: .*came no nearer at low .*and farther off at high"),
    ],
)
def test_the_answer_follows_the_intervals(low_change, high_change, says):
    said = demo.answer(levels((0.5, 0.4), (0.9, 0.8), low_change, high_change))
    assert re.match(says, said)
    assert "(0.50 before, 0.40 after)" in said and "(0.90 before, 0.80 after)" in said


# --------------------------------------------------------------------------------------- pictures


def test_colours_are_the_coordinates_in_three_known_directions():
    """Tokens spread along three orthogonal directions, widest first: each coordinate comes back,
    scaled, in its own colour; a fourth, weak one is not shown."""
    draw = np.random.default_rng(0)
    axes = np.linalg.qr(draw.normal(size=(8, 8)))[0][:4]
    axes *= np.sign(axes[np.arange(4), np.abs(axes).argmax(1)])[:, None]
    u = draw.uniform(-1, 1, size=(2, 50, 60, 4)) * [8, 4, 2, 0.01]
    maps = torch.from_numpy((u @ axes + 5).transpose(0, 3, 1, 2)).float()
    (target, same, half), share = principal_colours(maps, [maps, (maps - 5) / 2 + 5])
    for k, width in enumerate((8, 4, 2)):
        inner = np.abs(u[..., k]) < 0.9 * width
        expected = (u[..., k] / (0.96 * width) + 1) / 2  # uniform: percentiles 2, 98 are at .96
        assert target[..., k][inner] == pytest.approx(expected[inner], abs=0.03)
        assert half[..., k] == pytest.approx((u[..., k] / (1.92 * width) + 1) / 2, abs=0.03)
    assert np.array_equal(target, same) and target.min() == 0 and target.max() == 1
    assert share == pytest.approx(1, abs=1e-4)


def test_pictures_stand_in_order_and_the_photographs_only_where_they_may():
    maps = {k: torch.randn(2, 5, 6, 8) for k in ("teacher on RGB", "undistilled", "distilled")}
    photographs = {"RGB": torch.rand(2, 3, 84, 112), "infrared": torch.rand(2, 3, 84, 112)}
    shown = {}
    for with_them in (True, False):
        figure, alt = side_by_side(["a", "b"], maps, 11, photographs if with_them else None)
        shown[with_them] = [
            ax.get_title() or ax.get_title(loc="left")
            for ax in figure.axes[: len(figure.axes) // 2]
        ]
        assert alt.startswith("Features of block 11 as colours, 2 held-out pairs")
        got = figure.axes[-1].images[0].get_array()
        assert np.array_equal(got, principal_colours(maps["teacher on RGB"],
                                                     [maps["distilled"]])[0][1][1])  # fmt: skip
    assert shown[False] == list(maps) and shown[True] == ["RGB", "infrared", *maps]


def test_a_figure_before_and_after_shows_what_was_measured():
    rings = [{"block": b, "pairing": p, "rho": [r, r + 0.5], "value": b + k + r, "interval": [0, 1]}
             for b in (1, 3) for k, p in enumerate(("undistilled", "distilled"))
             for r in (0.0, 0.5)]  # fmt: skip
    figure, alt = before_and_after({"layers": [1, 3], "rings": rings},
                                   {"undistilled": "none", "distilled": "mse"})  # fmt: skip
    lines = {(ax.get_title(loc="left") or ax.get_title(), line.get_label()): line.get_ydata()
             for ax in figure.axes for line in ax.lines}  # fmt: skip
    assert list(lines["block 3", "MSE"]) == [4, 4.5]
    assert list(lines["block 1", "undistilled"]) == [1, 1.5]
    assert "block 3, MSE: 4.00 to 4.50" in alt


# ------------------------------------------------------------------------------------ a whole run


@pytest.fixture
def folders(tmp_path):
    """Twelve drawn pairs: infrared is the luminance, inverted."""
    for i in range(12):
        field = torch.nn.functional.interpolate(noise(i)[None], (120, 150), mode="bilinear")[0]
        pixels = ((field.clamp(-2, 2) + 2) * 63).byte().permute(1, 2, 0).numpy()
        for kind, picture in (("vi", pixels), ("ir", 255 - pixels.mean(2).astype("uint8"))):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(picture).save(tmp_path / kind / f"{i:02d}.png")
    return {"visible": tmp_path / "vi", "infrared": tmp_path / "ir"}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo, "SIZE", (112, 140))
    monkeypatch.setattr(demo, "CROP", (84, 112))
    monkeypatch.setattr(demo, "BATCH", 2)


def made(folders, out, **about):
    page = demo.demo(**folders, model="freqkd_tiny", out=out, steps=2, progress=False, **about)
    report = json.loads((out / "report.json").read_text())
    timeless = {k: v for k, v in report["manifest"].items() if k not in ("made", "training")}
    return page.read_text(), report | {"manifest": timeless}


def test_a_demo_that_was_stopped_goes_on_and_ends_as_if_it_had_not(
    folders, small, tmp_path, monkeypatch
):
    seen = []
    plain = controls.extract
    monkeypatch.setattr(controls, "extract",
                        lambda *a, **k: seen.append(len(a[1])) or plain(*a, **k))  # fmt: skip

    def stopped(*args, **about):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo, "distil", stopped)
        with pytest.raises(KeyboardInterrupt):
            made(folders, tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()
    assert sum(seen) == 2 * 12 + 1  # the gap: RGB and infrared, and the first one's stranger
    seen.clear()
    page, report = made(folders, tmp_path / "out", pictures=False)
    assert sum(seen) == 3 * report["distilled"]["pairs"]  # the gap was there
    seen.clear()
    again, same = made(folders, tmp_path / "out", pictures=False)
    assert same == report and not seen
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "other"))
    whole, fresh = made(folders, tmp_path / "fresh", pictures=False)
    assert fresh == report and whole == page == again

    assert problems(page) == []
    assert page.index("<h1>") < page.index(demo.answer(report["distilled"])) < page.index("<h2>")
    assert page.count("<img") == 4
    (shown,) = (e["value"] for e in report["gap"]["cka"] if (e["pairing"], e["band"], e["level"])
                == ("real", "disk25_75", "low") and e["block"] == 1)  # fmt: skip
    assert f"<td>{gap_words.number(shown)}, " in page  # what is measured is shown
    rows = {(r["method"], r["metric"], r["class"]): r for r in report["rows"]}
    for row in report["rows"]:
        Row(**{"klass" if k == "class" else k: v for k, v in row.items()})
    after = next(e for e in report["distilled"]["summary"]
                 if (e["pairing"], e["band"], e["metric"])
                 == ("distilled", "disk25_75", "normalised"))  # fmt: skip
    assert rows["code", "divergence_band", "high"]["value"] == after["high"]
    assert {a for a, *_ in rows} == {"real", "shuffled", "none", "code"}
    assert str(tmp_path) not in page + json.dumps(report)  # whose machine it was concerns nobody


def test_pictures_of_the_data_stay_out_where_they_must(folders, small, tmp_path, monkeypatch):
    given = []
    plain = demo.side_by_side
    monkeypatch.setattr(demo, "side_by_side", lambda *a: given.append(a[3]) or plain(*a))
    made(folders, tmp_path / "a", pictures=False)
    made(folders, tmp_path / "b")
    assert given[0] is None and list(given[1]) == ["RGB", "infrared"]


def test_what_is_wrong_with_the_folders_is_said_before_anything_is_computed(folders, tmp_path):
    (folders["infrared"] / "03.png").write_bytes(b"")
    (folders["infrared"] / "05.png").write_text("no picture")
    with pytest.raises(UserError, match=r"03\.png.*\(1 more: "):
        demo.check({k: str(v) for k, v in folders.items()})
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="taken is a file"):
        demo.demo(**folders, out=tmp_path / "taken")
    got = CliRunner().invoke(app, ["demo", "--visible", "a"])
    assert isinstance(got.exception, UserError) and "both --visible" in str(got.exception)


def test_help_fits_a_screen():
    lines = CliRunner().invoke(app, ["demo", "--help"], env={"COLUMNS": "80"}).output.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
