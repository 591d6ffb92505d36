"""The demo: what distillation did, in closed forms; then one whole run on drawn folders, twice."""

import json
import re
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from freqkd_lite import gap
from freqkd_lite.cli.app import app
from freqkd_lite.data import Pair
from freqkd_lite.features import Backbone
from freqkd_lite.gap import controls
from freqkd_lite.gap.tables import frame
from freqkd_lite.results.pages import problems
from freqkd_lite.runner import demo
from freqkd_lite.viz.students import before_and_after, principal_colours, side_by_side
from tests.gap.worlds import Fields, Pixels, noise, pixels_backbone
from tests.refused import refused
from tests.test_readme import KINDS, draw_pairs

# --------------------------------------------------------------------- how near the student came


class Turned(Pixels):
    """Sees an image turned by half, and three times as strong."""

    def forward_intermediates(self, images, indices, **about):
        return [3 * self.scale * images.flip(-2, -1) for _ in indices]


def test_a_student_that_undoes_what_infrared_did_is_the_teacher_itself():
    """Infrared is RGB turned by half: unrelated for the teacher (a mere mirror would keep waves
    that run along its axis), the same for a student that turns it back. That it is three times as
    strong must not matter: the losses don't see it."""
    teacher = pixels_backbone()
    student = Backbone(Turned(), "pixels", "made here", None).freeze()
    pairs = Fields(lambda i: (noise(i), noise(i).flip(-2, -1)), 40)
    about = dict(student=student, known=demo.STUDENTS, progress=False)
    learned = gap.measure(pairs, teacher, [1], tuple(demo.STUDENTS), **about)
    for control, at in (("distilled", 0), ("undistilled", 1)):
        row = learned.level(control, block=1)
        assert (row["low"], row["high"]) == pytest.approx((at, at), abs=0.15 if at else 1e-5)
    assert "lower at low, lower at high" in demo.answer(learned)
    head, rows = demo.distances(learned)
    assert [row[:2] for row in rows] == [[b, k] for b in ("1", "mean") for k in ("low", "high")]
    assert rows[0][3].startswith("0.00") and head[2:] == ["undistilled", "distilled"]
    best, fall = demo.most_improved(learned)
    assert best == 1 and fall == pytest.approx(1, abs=0.15)
    few = gap.measure(pairs, teacher, [1], tuple(demo.STUDENTS), count=19, **about)
    assert demo.answer(few).startswith("No verdict from 19 held-out pairs: 20 are needed")


def test_the_block_that_came_closest_is_named():
    """Falls of (0.1 + 0.3) / 2, (0.4 + 0.2) / 2 and, further away, (-0.1 + 0) / 2."""
    after = {2: (0.4, 0.6), 5: (0.1, 0.7), 8: (0.6, 0.9)}
    levels = {"undistilled": dict.fromkeys(after, (0.5, 0.9)), "distilled": after}
    level = lambda name, block: dict(zip(("low", "high"), levels[name][block], strict=True))  # noqa: E731
    learned = SimpleNamespace(about={"blocks": [2, 5, 8]}, level=level)
    assert demo.most_improved(learned) == (5, pytest.approx(0.3))


class Boxed(Fields):
    """Fields with a bright square in RGB, whose box is known; two classes, of two colours."""

    has, classes = frozenset({"pairs", "boxes"}), ("red", "blue")

    def __getitem__(self, index):
        draw = np.random.default_rng((7, index))
        boxes, labels = [], []
        visible = 0.3 * noise(index)
        for label in (0, 1):
            y, x = int(draw.integers(0, 4)), int(draw.integers(0, 6)) + 8 * label
            visible[2 * label, y : y + 3, x : x + 2] += 3
            boxes.append((x, y, x + 2, y + 3))
            labels.append(label)
        given = dict(boxes=torch.tensor(boxes).float(), labels=torch.tensor(labels))
        return Pair(self.names[index], visible, visible.flip(-2, -1), **given)


def test_an_rgb_head_reads_a_student_that_undoes_what_infrared_did_as_it_reads_rgb():
    train, held = Boxed(None, 30), Boxed(None, 24, mark="held")
    teacher, student = pixels_backbone(), Backbone(Turned(), "pixels", "made here", None).freeze()
    scores = demo.label_free(train, held, teacher, teacher, [0])
    assert scores["teacher"].mean_ap > 0.9 > 0.3 > scores["undistilled"].mean_ap
    assert scores["distilled"].ap == scores["undistilled"].ap
    assert "no detectable difference" in demo.label_free_answer(scores)
    student.net.scale.data /= 3  # Turned is three times as strong, which a head does see
    scores = demo.label_free(train, held, teacher, student, [0])
    assert scores["distilled"].ap == pytest.approx(scores["teacher"].ap, abs=1e-6)
    assert "higher" in demo.label_free_answer(scores)
    head, rows = demo.label_free_table(scores)
    assert head[1:] == ["red", "blue", "mean"] and len(rows) == 3 and rows[0][1:] == rows[2][1:]


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


def title(ax):
    return ax.get_title(loc="left") or ax.get_title()


def test_pictures_stand_in_order_after_the_photographs():
    maps = {k: torch.randn(2, 5, 6, 8) for k in ("teacher on RGB", "undistilled", "distilled")}
    photographs = {"RGB": torch.rand(2, 3, 84, 112), "infrared": torch.rand(2, 3, 84, 112)}
    figure, alt = side_by_side(["a", "b"], maps, 11, photographs)
    assert [title(ax) for ax in figure.axes[:5]] == ["RGB", "infrared", *maps]
    assert alt.startswith("Features of block 11 as colours, 2 held-out pairs")
    got = figure.axes[-1].images[0].get_array()
    (_, expected), _ = principal_colours(maps["teacher on RGB"], [maps["distilled"]])
    assert np.array_equal(got, expected[1])


def test_a_figure_before_and_after_shows_what_was_measured():
    rings = [
        {"block": b, "control": c, "rho": [r, r + 0.5], "value": b + k + r, "interval": [0, 1]}
        for b in (1, 3)
        for k, c in enumerate(("undistilled", "distilled"))
        for r in (0.0, 0.5)
    ]
    learned = SimpleNamespace(about={"blocks": [1, 3]}, rings=frame(rings))
    figure, alt = before_and_after(learned, {"undistilled": "none", "distilled": "mse"})
    drawn = [(title(ax), line) for ax in figure.axes for line in ax.lines]
    lines = {(block, line.get_label()): list(line.get_ydata()) for block, line in drawn}
    assert lines["block 3", "MSE"] == [4, 4.5] and lines["block 1", "undistilled"] == [1, 1.5]
    assert "block 3, MSE from 4.00 to 4.50" in alt


# ------------------------------------------------------------------------------------ a whole run


@pytest.fixture
def folders(tmp_path):
    draw_pairs(tmp_path)
    return {kind: tmp_path / kind for kind in KINDS}


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo, "SIZE", (112, 140))
    monkeypatch.setattr(demo, "CROP", (84, 112))
    monkeypatch.setattr(demo, "BATCH", 2)


def made(folders, out, **about):
    page = demo.demo(**folders, model="freqkd_tiny", out=out, steps=2, **about)
    report = json.loads((out / "report.json").read_text())
    timeless = {k: v for k, v in report["manifest"].items() if k not in ("made", "training")}
    return page.read_text(), report | {"manifest": timeless}


def test_a_demo_that_was_stopped_goes_on_and_ends_as_if_it_had_not(
    folders, small, tmp_path, monkeypatch, capsys
):
    seen, photographs = [], []
    plain, drawn = controls.extract, demo.side_by_side
    monkeypatch.setattr(
        controls, "extract", lambda *a, **k: seen.append(len(a[1])) or plain(*a, **k)
    )
    monkeypatch.setattr(demo, "side_by_side", lambda *a: photographs.append(a[3]) or drawn(*a))
    with monkeypatch.context() as patch:
        patch.setattr(demo, "distil", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made(folders, tmp_path / "out")
    assert not (tmp_path / "out" / "report.html").exists()
    assert sum(seen) == 2 * 12 + 2  # the gap: RGB and infrared, and a partner for each batch
    seen.clear()
    page, report = made(folders, tmp_path / "out", photographs=False)
    assert sum(seen) == 3 * report["distilled"]["about"]["pairs"]  # the gap was there
    seen.clear()
    capsys.readouterr()
    again, same = made(folders, tmp_path / "out")
    (lines,) = re.findall(r"load it:\n\n(.+)\n\n", capsys.readouterr().out, re.DOTALL)
    exec(lines, names := {})
    assert lines.count("\n") == 4 and [m.shape for m in names["maps"]] == [(1, 192, 8, 10)] * 4
    assert same == report and not seen
    assert photographs[0] is None and list(photographs[1]) == ["RGB", "infrared"]
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path / "other"))
    whole, fresh = made(folders, tmp_path / "fresh", photographs=False)
    assert fresh == report and whole == page and len(again) > len(page)

    assert problems(page) == []
    assert page.count("<img") == 4 and "distilled minus" not in page  # two held-out pairs
    rows = {(r["method"], r["metric"], r["class"]): r for r in report["rows"]}
    wanted = {"control": "distilled", "band": "disk25_75", "metric": "normalised", "block": "mean"}
    (after,) = (e for e in report["distilled"]["levels"] if wanted.items() <= e.items())
    assert rows["freqkd_code", "divergence_band", "high"]["value"] == after["high"]
    assert {a for a, *_ in rows} == {"real", "mismatched", "none", "freqkd_code"}
    assert str(tmp_path) not in page + json.dumps(report)  # whose machine it was concerns nobody


def test_a_demo_with_boxes_tries_an_rgb_head_and_says_where_there_are_too_few(
    folders, small, tmp_path
):
    for some in (True, False):
        (boxes := tmp_path / f"labels{some}").mkdir()
        for i in range(12):
            (boxes / f"{i:02d}.txt").write_text("0 .5 .5 .4 .5\n" if some or not i else "")
        (boxes / "classes.txt").write_text("thing\n")
        page, report = made(folders, tmp_path / f"out{some}", boxes=boxes)
        free = [r["method"] for r in report["rows"] if r["metric"] == "label_free_probe_ap"]
        assert free == (["teacher", "none", "freqkd_code"] if some else [])
        assert ("RGB head on" in page) == some and ("No head could be fitted" in page) != some


def test_what_is_wrong_with_the_folders_is_said_before_anything_is_computed(folders, tmp_path):
    (folders["infrared"] / "03.png").write_bytes(b"")
    (folders["infrared"] / "05.png").write_text("no picture")
    refused(r"03\.png.*\(1 more: ", demo.check, {k: str(v) for k, v in folders.items()})
    for kind in folders.values():
        for file in sorted(kind.iterdir())[4:]:
            file.unlink()
    (folders["infrared"] / "03.png").write_bytes((folders["infrared"] / "02.png").read_bytes())
    refused(" 2 pairs.* 8 ", made, folders, tmp_path / "out")
    words = ["demo", "--visible", "a"]
    refused("--visible.*--infrared", CliRunner().invoke, app, words, catch_exceptions=False)
