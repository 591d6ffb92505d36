"""What each band of a picture or of a feature map holds: figures of notebooks 00 and 02."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from freqkd_lite.data import Pair, PairSet
from freqkd_lite.errors import UserError
from freqkd_lite.names import NAMES
from freqkd_lite.spectrum import band_overlap, centred_rectangle, white_share
from freqkd_lite.viz.style import COLOURS, SIDES, Look, headline

CHAIN = (
    ("data", "pairs of\npictures", "00"),
    ("features", "maps of\ntokens", "01"),
    ("spectrum", "low band,\nhigh band", "02  03"),
    ("losses", "one cost", "04  10"),
    ("distil", "a student for\ninfrared", "05"),
    ("evaluate", "AP and IoU\nwith intervals", "06  07"),
)
"""The package's modules in order: what each passes on, and the notebooks about it."""


def one_pair(pairs: PairSet, picture: int) -> Pair:
    """Pair number `picture`; `UserError` where there is none of that number."""
    if not 0 <= picture < len(pairs):
        raise UserError(f"picture={picture} is not in the data set: use 0 to {len(pairs) - 1}.")
    return pairs[picture]


def nearer(with_rgb: Tensor, with_infrared: Tensor) -> str:
    """The one of `SIDES` that correlates more on average; "neither" if by less than 0.05."""
    difference = float((with_infrared - with_rgb).mean())
    return "neither" if abs(difference) < 0.05 else SIDES[difference > 0]


def picture_grid(
    columns: Mapping[str, Sequence[Tensor] | Tensor], width: float = 7
) -> tuple[Figure, np.ndarray]:
    """Pictures of one size in columns, each under its name; the figure, `width` inches wide, and
    its axes (rows, columns)."""
    pictures = next(iter(columns.values()))
    rows, (h, w) = len(pictures), pictures[0].shape[-2:]
    size = (width, 0.3 + rows * (width * h / (w * len(columns)) + 0.06))
    figure, axes = plt.subplots(rows, len(columns), figsize=size, squeeze=False)
    for column, (name, pictures) in zip(axes.T, columns.items(), strict=True):
        column[0].set_title(name, fontsize=10, fontweight="normal")
        for ax, picture in zip(column, pictures, strict=True):
            draw_picture(ax, picture)
    return figure, axes


def draw_picture(ax: Axes, picture: Tensor) -> None:
    """A picture in colour (3, H, W), or in grey (H, W), clipped by a percent at both ends."""
    if picture.ndim == 3:
        ax.imshow(picture.permute(1, 2, 0).clamp(0, 1).numpy())
    else:
        low, high = np.percentile(picture.numpy(), (1, 99))
        ax.imshow(picture.numpy(), vmin=low, vmax=max(high, low + 1e-3))  # some are nearly black
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def pictures(shown: dict[str, Tensor], title: str) -> tuple[Figure, str]:
    """Pictures of one size, (H, W) or (3, H, W) in [0, 1], side by side under their names."""
    figure, _ = picture_grid({name: [picture] for name, picture in shown.items()})
    figure.set_figheight(figure.get_figheight() + 0.3)
    headline(figure, title)
    return figure, f"{title} From left to right: {', '.join(shown)}."


def hybrid(
    large: Tensor, small: dict[str, Tensor], made_of: str, guess: str | None = None
) -> tuple[Figure, str]:
    """One picture `large` (H, W) beside thumbnails `small` (name -> (h, w)); the thumbnail whose
    name holds `guess` gets a dashed frame. `made_of`: a sentence for the caption."""
    figure, axes = plt.subplot_mosaic(
        [["large", name] for name in small], figsize=(7, 4.6), width_ratios=(2.4, 1)
    )
    draw_picture(axes["large"], large)
    axes["large"].set(title="What survives in a thumbnail?", xlabel=made_of)
    for name, picture in small.items():
        draw_picture(axes[name], picture)
        weight = "bold" if "hybrid" in name else "normal"
        axes[name].set_title(name, fontsize=9.5, fontweight=weight)
        if guess and guess in name:
            axes[name].spines[:].set(visible=True, ls="--", lw=1.5, color=COLOURS["guess"])
    (height, width), (h, w) = large.shape, next(iter(small.values())).shape
    return figure, (
        f"{made_of} Left: {width} by {height} pixels. Right: thumbnails of {w} by {h} pixels, from "
        f"top to bottom {', '.join(small)}."
    )


def chain() -> tuple[Figure, str]:
    """What each module passes to the next, and which notebooks are about it."""
    figure, ax = plt.subplots(figsize=(7, 1.8))
    box = dict(boxstyle="round,pad=0.45", fc="w", ec=COLOURS["visible"])
    for i, (module, gives, notebooks) in enumerate(CHAIN):
        ax.text(i, 0.62, module, fontweight="bold", fontsize=10, bbox=box, ha="center", va="center")
        ax.text(i, 0.4, gives, ha="center", va="top", fontsize=9)
        ax.text(i, 0.92, notebooks, ha="center", fontsize=10, color=COLOURS["infrared"])
        if i:
            ax.annotate("", (i - 0.4, 0.62), (i - 0.6, 0.62), arrowprops=dict(arrowstyle="->"))
    ax.set(xlim=(-0.5, len(CHAIN) - 0.5), ylim=(0.12, 1.02))
    ax.set_title("How does a pair of pictures become a score?")
    ax.axis("off")
    steps = "; ".join(f"{m} gives {' '.join(g.split())} (notebooks {n})" for m, g, n in CHAIN)
    return figure, f"Boxes from left to right, joined by arrows: {steps}."


def value_at(curve: np.ndarray, axis: np.ndarray, at: float = 0.5) -> float:
    """A curve's value where `axis` (n,) is nearest to `at`; for curves (blocks, n) their mean."""
    return float(np.atleast_2d(curve)[:, int(np.abs(np.asarray(axis) - at).argmin())].mean())


def shares(
    curves: dict[str, np.ndarray],
    cutoffs: np.ndarray,
    grid: tuple[int, int],
    guess: float | None = None,
    at: float = 0.5,
) -> tuple[Figure, str]:
    """The low band's share of the energy against the cutoff, with a line `at` one.

    curves: of the pictures "visible" and "infrared" (cutoffs,), and of the features
    "visible features" and "infrared features" (blocks, cutoffs), drawn thin with their mean thick.
    grid: of the features, for the line of white noise.
    """
    figure, ax = plt.subplots(figsize=(7, 3.7))
    white = np.array([white_share(*grid, float(cutoff)) for cutoff in cutoffs])
    ax.plot(cutoffs, white, color=COLOURS["floor"], drawstyle="steps-post")
    place = Look(xytext=(3, -4), textcoords="offset points", va="top", fontsize=9)
    ax.annotate("white noise on the\nfeatures' grid", (at, value_at(white, cutoffs, at)), **place)
    shown = {}
    for name, curve in curves.items():
        modality, _, kind = name.partition(" ")
        label = f"{NAMES[modality]}, {kind or 'pictures'}"
        line = Look(color=COLOURS[modality], drawstyle="steps-post" if kind else None)
        mean = np.atleast_2d(curve).mean(0)
        ax.plot(cutoffs, mean, ls="-" if kind else ":", label=label, **line)
        for block in curve if kind and len(curve) > 1 else ():
            ax.plot(cutoffs, block, lw=0.7, alpha=0.4, **line)
        shown[label] = value_at(mean, cutoffs, at)
    ax.axvline(at, color=COLOURS["floor"], lw=1, zorder=0)
    if guess is not None:
        ax.plot((0, at), (guess, guess), color=COLOURS["guess"], ls="--", lw=1.5)
        ax.annotate("your guess", (0.02, guess), (0, 4), textcoords="offset points", fontsize=9)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), title="What lives in the low band?")
    ax.set(xlabel="cutoff, as a share of Nyquist", ylabel="share of the energy")
    ax.legend(loc="lower right")
    shown["white noise"] = value_at(white, cutoffs, at)
    numbers = "; ".join(f"{label} {share:.2f}" for label, share in shown.items())
    return figure, f"Share of the energy in the low band against the cutoff. At {at:g}: {numbers}."


def masks(
    grid: tuple[int, int], measured: float, others: Sequence[tuple[int, int]] = ()
) -> tuple[Figure, str]:
    """The authors' mask on a grid, bins without a partner marked; beside it the energy
    of white noise that its two bands lose (`band_overlap`) on square grids and on `others`, and the
    share `measured` on this run's features."""
    figure, (left, ax) = plt.subplots(1, 2, figsize=(7, 3.1), width_ratios=(1, 1.5))
    mask = centred_rectangle(*grid)
    lonely = mask & ~mask.flip(0, 1).roll((1, 1), (0, 1))
    fills = {"high": COLOURS["high"], "low": COLOURS["low"], "low, no partner at -f": "#F0E442"}
    bins = torch.fft.fftshift(mask.int() + lonely.int()).numpy()
    left.imshow(np.array([to_rgb(fill) for fill in fills.values()])[bins])
    left.plot(grid[1] // 2, grid[0] // 2, "k+", ms=8)
    keys = [Patch(color=fill, label=name) for name, fill in fills.items()]
    left.legend(handles=keys, loc="upper center", bbox_to_anchor=(0.5, -0.02))
    left.set_title(f"Which bins ({grid[0]}x{grid[1]})?")
    left.axis("off")

    sizes = range(8, 49)
    grids = [*((n, n) for n in sizes), *others]
    lost = {each: band_overlap(centred_rectangle(*each))[0] for each in grids}
    square = [100 * lost[n, n] for n in sizes]
    ax.plot(sizes, square, color=COLOURS["freqkd_code"], lw=1.6, label="white noise")
    ax.axhline(0, color=COLOURS["low"], label="symmetric mask")
    side = (grid[0] * grid[1]) ** 0.5
    ax.plot(side, 100 * measured, "o", color=COLOURS["teacher"], label="this run's features")
    above = dict(xytext=(0, 7), textcoords="offset points", ha="center", fontsize=9)
    for h, w in others:
        point = ((h * w) ** 0.5, 100 * lost[h, w])
        ax.plot(*point, "s", ms=5, color=COLOURS["none"])
        ax.annotate(f"{h}x{w}", point, **above)
    ax.set(xlabel="tokens along a side of the grid", ylabel="lost energy, %", ylim=(-0.6, None))
    ax.set_title("What do the authors' bands lose?")
    ax.legend()
    marked = "".join(f", {lost[h, w]:.1%} on {h}x{w}" for h, w in others)
    return figure, (
        f"Left: the authors' mask on {grid[0]}x{grid[1]} bins; {int(mask.sum())} are low, "
        f"{int(lonely.sum())} of these without a partner at the opposite frequency. Right: lost "
        f"energy against the side of the grid; {measured:.1%} on this run's features{marked}."
    )
