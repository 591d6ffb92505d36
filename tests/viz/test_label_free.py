"""Figures of label-free transfer: what stands in the description is what was drawn."""

import math

import pandas as pd
import pytest
import torch
from matplotlib.patches import Rectangle

from freqkd_lite.evaluate.segmentation import measure_segmentation
from freqkd_lite.viz.detections import detection_figure, place_names
from freqkd_lite.viz.label_curve import label_curve_figure, labels_text
from freqkd_lite.viz.masks import mask_figure


def curve_table(worth: float) -> pd.DataFrame:
    points = [("none", n, v) for n, v in ((0, 0.2), (1, 0.1), (10, 0.3), (100, 0.4))]
    points += [("mse", n, v) for n, v in ((0, 0.35), (1, 0.2), (10, 0.4), (100, 0.5))]
    points += [("mse", math.nan, worth)]
    table = pd.DataFrame(points, columns=["method", "labels", "value"])
    table["metric"] = ["label_curve"] * 8 + ["labels_worth"]
    return table.assign(low=table["value"] * 0.6, high=table["value"] * 2)


FAR = "more than 100"


@pytest.mark.parametrize(
    ("worth", "text"), [(31.4, "about 31 [19, 63]"), (math.inf, f"{FAR} [{FAR}, {FAR}]")]
)
def test_label_curve(worth, text):
    drawn, alt = label_curve_figure(curve_table(worth), rgb=0.55)
    assert f"MSE is worth {text} labels" in alt and "teacher on RGB 0.55" in alt
    (ax,) = drawn.axes
    diamonds = {float(line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "D"}
    assert diamonds == {0.2, 0.35}
    # from the label-free score across to where the undistilled student reaches it, or to all
    across = next(x for x in ax.lines if x.get_linestyle() == ":" and x.get_ydata()[0] == 0.35)
    assert across.get_xdata()[1] == min(worth, 100)


def test_labels_are_told_to_two_digits():
    found = [labels_text(value, 361) for value in (1.0, 7.4, 183.2)]
    assert found == ["1 or fewer", "about 7", "about 180"]


BOXES = torch.tensor([[2, 2, 12, 12], [20, 2, 30, 12]]).float()
FOUND = {
    "boxes": torch.tensor([[2, 2, 12, 12], [2, 3, 12, 13], [40, 30, 50, 40]]).float(),
    "scores": torch.tensor([0.94, 0.8, 0.6]),
    "labels": torch.tensor([0, 0, 1]),
}


def test_detections_are_counted_by_outcome_and_names_hide_no_other_name():
    truth = [BOXES] * 2, [torch.tensor([0, 1])] * 2
    pictures = {"infrared": torch.rand(2, 3, 48, 64)}
    other = FOUND | {"scores": torch.tensor([0.94, 0.8, 0.5])}  # by which the threshold is chosen
    columns = {"own head": ([FOUND, other], "infrared"), "RGB head": (None, "visible")}
    drawn, alt = detection_figure(columns, pictures, truth, [0], ["person", "car"])
    assert "own head: 1 hit, 1 false alarm, 1 missed" in alt and "RGB head" not in alt
    (ax,) = drawn.axes
    assert sorted(patch.get_linestyle() for patch in ax.patches) == ["-", "--", ":"]
    # the first name above its box, the second below its own, the third nowhere: below lies outside
    boxes = [Rectangle((20, 20), 20, 20), Rectangle((21, 21), 20, 20), Rectangle((20, 20), 3, 27)]
    names = [(ax.text(0, 0, "person"), box) for box in boxes]
    place_names(drawn, names)
    assert [text.get_visible() for text, _ in names] == [True, True, False]
    assert [text.get_position() for text, _ in names[:2]] == [(20, 18), (21, 43)]


def test_masks_stand_under_their_iou():
    masks = torch.zeros(2, 8, 8, dtype=torch.long)
    masks[:, 4:] = 1
    right = measure_segmentation(masks, masks, ["road", "sky"], draws=5)
    columns = {"truth": (torch.rand(2, 3, 8, 8), masks), "head": (torch.rand(2, 3, 8, 8), right)}
    drawn, alt = mask_figure(columns, [1], ["road", "sky"])
    assert "truth; head 1.00" in alt and len(drawn.axes) == 2
