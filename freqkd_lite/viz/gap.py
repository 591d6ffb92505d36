"""Where RGB and infrared part: figures of notebooks 01 and 03, and the sentences under them.

Figures come back with their description for readers who can't see them: `show(*curves(...))`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.stats import multiplicities, percentiles
from freqkd_lite.names import NAMES
from freqkd_lite.results.rows import Row, pick
from freqkd_lite.spectrum import CORNER, divergence, ring_counts
from freqkd_lite.viz.style import COLOURS, versus

# Edges for the authors' analysis bands: ring 0 is 0 < rho <= .25, ring 2 is rho >= .75 (a bin on
# an edge belongs to the ring below it, hence the small step).
BANDS = (0.0, 0.25, 0.75 - 1e-6, CORNER)
# Rings of the curves: eight of equal width. On a grid of 12x16 tokens (and others in 4:3) each one
# below rho = 1 holds frequencies of both axes, where street pictures, all level, share most.
# Narrower rings miss some, and the curve gets spikes that are the grid's.
EDGES = tuple(np.linspace(0, CORNER, 9).tolist())
SHAPES = ("A: flat", "B: rising smoothly", "C: a step at 0.5", "D: falling")
_FLAT = 0.1  # a change of divergence that is smaller than this counts as none


@dataclass(frozen=True)
class Levels:
    """Divergence by block and ring, `value` (blocks, rings), and its bootstrap over images,
    `draws` (D, blocks, rings). Levels of the same number of images, and the same groups of them,
    share their draws, so differences between them are paired."""

    value: Tensor
    draws: Tensor
    images: int

    @property
    def interval(self) -> Tensor:
        """95 % percentile interval over images (2, blocks, rings)."""
        return torch.nanquantile(self.draws, self.draws.new_tensor([0.025, 0.975]), dim=0)

    def mean(self) -> Levels:
        """The average over blocks, as levels of one block."""
        return Levels(self.value.mean(0, True), self.draws.mean(1, True), self.images)

    def ratio(self) -> tuple[float, np.ndarray]:
        """Last ring over first ring, averaged over blocks, and its bootstrap draws (D,)."""
        value, draws = (x[..., -1] / x[..., 0] for x in (self.value, self.draws))
        return float(value.mean()), draws.mean(-1).numpy()


def levels(
    sums: Sequence[Tensor],
    draws: int = 1000,
    seed: int = 0,
    groups: Sequence[int] | None = None,
) -> Levels:
    """`Levels` from one `spectrum.ring_sums` (images, rings, 3) for each block; `groups` (images,)
    are drawn whole (see `multiplicities`)."""
    stacked = torch.stack(list(sums)).double()
    counts = multiplicities(stacked.shape[1], draws, seed, groups)
    a, b, difference = torch.einsum("dn,bnrk->dbrk", counts, stacked).unbind(-1)
    value = torch.stack([divergence(block) for block in stacked])
    if not value.isfinite().all():
        raise UserError("A ring of this grid has no frequency or no energy: enlarge the pictures.")
    return Levels(value, difference / (a + b), stacked.shape[1])


def log_rings(height: int, width: int, count: int = 14) -> list[float]:
    """Edges of rings of rho for a picture's power spectrum: evenly spread on a logarithmic axis,
    from the slowest wave that fits the shorter side."""
    return [0.0, *np.geomspace(2 / min(height, width), CORNER, count).tolist()]


def token_rings(height: int, width: int) -> list[float]:
    """`EDGES` for a grid of tokens; on a small one a ring without frequency joins the next."""
    counts = ring_counts(height, width, EDGES).tolist()
    return [0.0, *(outer for outer, count in zip(EDGES[1:], counts, strict=True) if count)]


def shape_of(curve: Sequence[float], edges: Sequence[float] = EDGES) -> str:
    """Which of `SHAPES` a divergence curve (rings,) is.

    Flat or falling by its change from first to last ring; a step if more than half of the rise
    happens between the two rings that meet next to rho = 0.5.
    """
    curve = np.asarray(curve, dtype=float)
    rise = curve[-1] - curve[0]
    if rise < -_FLAT:
        return SHAPES[3]
    if rise <= _FLAT:
        return SHAPES[0]
    after = int(np.abs(np.array(edges) - 0.5).argmin())
    return SHAPES[2] if curve[after] - curve[after - 1] > rise / 2 else SHAPES[1]


def kinship(level: float) -> str:
    """A word for a divergence level: 0 is identical, 1 unrelated."""
    words = ("mostly shared", "partly shared", "mostly unrelated", "practically unrelated")
    return words[sum(level > bound for bound in (0.3, 0.6, 0.9))]


def curve_conclusion(
    measured: Levels, raw: Tensor, guess: str | None = None, edges: Sequence[float] = EDGES
) -> str:
    """What notebook 01 measured, in words: the curve's shape, its ends, and what raw MSE per bin
    `raw` (blocks, rings) would have said. `guess` is one of `SHAPES`."""
    mean = measured.mean()
    value, (low, high) = mean.value[0], mean.interval[:, 0]
    ends = [
        f"{name} {value[i]:.2f} [{low[i]:.2f}, {high[i]:.2f}], {kinship(value[i])}"
        for name, i in (("slowest ring", 0), ("fastest ring", -1))
    ]
    ratios = raw[:, -1] / raw[:, 0]
    ratio, draws = measured.ratio()
    sides = ("higher", "no different", "lower")
    mse = versus(float(ratios.log().mean()), 0, 0.1, sides)
    about = {mse, versus(ratio, 1, 0.1, sides)}
    says = "the same" if len(about) == 1 else "the opposite" if sides[1] not in about else "less"
    found = shape_of(value.tolist(), edges)
    verdict = ""
    if guess:
        verdict = f" Your guess, {guess}, {'was right' if guess == found else 'was another'}."
    return (
        f"Divergence over rho is {found}.{verdict}\n"
        f"Mean over blocks, {measured.images} pairs: {'; '.join(ends)}.\n"
        f"Fastest over slowest ring, averaged over blocks: {ratio:.2f} {_span(draws)}.\n"
        f"Raw MSE per bin is {mse} in the fastest ring than in the slowest "
        f"({', '.join(f'{r:.2g}x' for r in ratios.tolist())} by block): it says {says}."
    )


def control_conclusion(measured: dict[str, Levels], guess: str | None = None) -> str:
    """What notebook 03 measured, in words, from `Levels` over `BANDS` by name of `CONTROLS`:
    whether the ratio, and whether the levels, tell infrared from what is no infrared."""
    ratios = {name: level.ratio() for name, level in measured.items()}
    largest = max(ratios, key=lambda name: ratios[name][0])
    lines = [f"The largest ratio of high to low belongs to: {NAMES[largest]} "
             f"({ratios[largest][0]:.1f})."]  # fmt: skip
    if guess:
        lines[0] += " You guessed it." if guess == NAMES[largest] else f" You guessed {guess}."
    without = [name for name in measured if name not in ("real", "shuffled")]  # infrared
    as_large = [NAMES[name] for name in without
                if _differ(ratios["real"][1], ratios[name][1]) != "above"]  # fmt: skip
    lines[0] += (f"\nThat of infrared is {ratios['real'][0]:.2f} {_span(ratios['real'][1])}; the "
                 "paper states 2.4, for its own pairs and model.")  # fmt: skip
    lines.append(
        f"Beyond noise, the ratio is no smaller for: {', '.join(as_large)}. "
        "So a ratio is no sign of a gap between RGB and infrared."
        if as_large
        else "No pairs without infrared reach its ratio: here the ratio would tell them apart."
    )
    for name, ring in (("Low", 0), ("High", -1)):
        means = {k: level.mean() for k, level in measured.items()}
        real, shuffled = (means[k].draws[:, 0, ring].numpy() for k in ("real", "shuffled"))
        said = {
            "below": "a pair shares more than strangers do",
            "level with": "nothing shows that these are pairs",
            "above": "a pair is less alike than strangers are",
        }[_differ(real, shuffled)]
        at = {k: f"{mean.value[0, ring]:.2f}" for k, mean in means.items()}
        lines.append(f"{name} band: infrared {at['real']}, shuffled pairs {at['shuffled']}: "
                     f"{said}. A grey copy alone costs {at['grey']}.")  # fmt: skip
    return "\n".join(lines)


def _differ(a: np.ndarray, b: np.ndarray) -> str:
    """above, level with or below: does the 95 % interval of the paired difference leave out 0?"""
    low, high = percentiles(a - b)
    return "above" if low > 0 else "below" if high < 0 else "level with"


def _span(draws: np.ndarray) -> str:
    low, high = percentiles(draws)
    return f"[{low:.2f}, {high:.2f}]"


def shape_curve(shape: str, rho: np.ndarray) -> np.ndarray:
    """Divergence at rho of a sketch of one of `SHAPES`."""
    if shape not in SHAPES:
        raise UserError(f"There is no sketch {shape!r}: choose one of {', '.join(SHAPES)}.")
    curves = (0.7 + 0 * rho, 0.9 - 0.6 * np.exp(-2 * rho), np.where(rho <= 0.5, 0.35, 0.85),
              0.3 + 0.6 * np.exp(-2 * rho))  # fmt: skip
    return curves[SHAPES.index(shape)]


def sketches() -> tuple[Figure, str]:
    """The four candidate curves to guess from."""
    figure, axes = plt.subplots(1, 4, figsize=(7, 1.75), sharey=True)
    rho = np.linspace(0, 1.41, 300)
    for ax, shape in zip(axes, SHAPES, strict=True):
        ax.plot(rho, shape_curve(shape, rho), color=COLOURS["guess"], ls="--")
        ax.set_title(shape, fontsize=9.5, fontweight="normal")
        ax.set(ylim=(0, 1.05), xticks=(0, 0.5, 1), yticks=(0, 1), xlabel="rho")
    axes[0].set_yticklabels(("identical", "unrelated"))
    return figure, "Four sketches of divergence against rho. " + "; ".join(SHAPES) + "."


def curves(
    measured: Levels,
    blocks: Sequence[int],
    pixels: Tensor,
    power: dict[str, tuple[Tensor, Tensor]],
    raw: Tensor,
    patch: int,
    guess: str | None = None,
    edges: Sequence[float] = EDGES,
) -> tuple[Figure, str]:
    """Notebook 01's answer: divergence against rho by block (with 95 % bands) and of the `pixels`
    (rings,) at the same frequencies; below it the pictures' `power` (name -> `radial_power` over
    rho of pixels) and raw MSE per bin `raw` (blocks, rings)."""
    figure, axes = plt.subplot_mosaic("aa;bc", figsize=(7, 6.4), height_ratios=(1.5, 1))
    rho = _centres(edges)
    top = axes["a"]
    _limits(top)
    if guess:
        fine = np.linspace(rho[0], rho[-1], 200)
        label = f"your guess, {guess}"
        top.plot(fine, shape_curve(guess, fine), color=COLOURS["guess"], ls="--", label=label)
    top.plot(rho, pixels, color=COLOURS["none"], ls=":", marker=".", label="pixels")
    # from the first block, dark, to the last, light
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(blocks)))
    for i, (block, colour) in enumerate(zip(blocks, colours, strict=True)):
        line = dict(color=colour, marker="o", ms=4)
        top.plot(rho, measured.value[i], label=f"features, block {block}", **line)
        top.fill_between(rho, *measured.interval[:, i], color=colour, alpha=0.15, lw=0)
        axes["c"].plot(rho, raw[i] / raw[i, 0], **line)
    top.legend(loc="lower right", fontsize=9)
    top.set(title="Where do RGB and infrared part?", ylabel="divergence",
            ylim=(-0.04, max(1.12, float(pixels.max()) + 0.05)),
            xlabel="rho: 1 is the fastest change along an axis of tokens")  # fmt: skip
    for name, (at, values) in power.items():
        seen = values.isfinite()
        axes["b"].loglog(at[seen] / 2, values[seen], color=COLOURS[name], label=NAMES[name])
    axes["b"].legend(loc="upper right", fontsize=9)
    axes["b"].axvline(0.5 / patch, color=COLOURS["floor"], ls=":")
    axes["b"].annotate("tokens'\nlimit", (0.5 / patch, 0.04), (-4, 0), ha="right", fontsize=9,
                       xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
    axes["b"].set(title="What do pictures hold?", xlabel="cycles per pixel", ylabel="power per bin")
    axes["c"].set(title="What would raw MSE say?", xlabel="rho", yscale="log",
                  ylabel="MSE per bin, relative")  # fmt: skip
    ends = "; ".join(
        f"block {b} from {v[0]:.2f} to {v[-1]:.2f}"
        for b, v in zip(blocks, measured.value, strict=True)
    )
    return figure, (
        "Top: divergence against rho, 0 identical, 1 unrelated. From the slowest to the fastest "
        f"ring: {ends}; pixels from {pixels[0]:.2f} to {pixels[-1]:.2f}. Bottom left: power "
        "spectra of the pictures against cycles per pixel, both axes logarithmic. Bottom right: "
        "raw mean squared error per bin against rho, ending at "
        + ", ".join(f"{r[-1] / r[0]:.2g}" for r in raw) + " of where it starts."
    )  # fmt: skip


def by_block(found: dict) -> tuple[Figure, str]:
    """`freqkd gap`'s figure, from what `gap.measure` gives: normalised divergence against rho, a
    line a block with its 95 % band, and the level of shuffled pairs pale behind it."""
    figure, ax = plt.subplots(figsize=(7, 4))
    _limits(ax)
    for level, inner, outer in (("low", *BANDS[:2]), ("high", *BANDS[2:])):
        ax.axvspan(inner, outer, color=COLOURS[level], alpha=0.1, lw=0, label=f"{level} band")
    blocks = found["layers"]
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.85, len(blocks)))
    said = []
    for pairing in ("shuffled", "real"):
        for block, colour in zip(blocks, colours, strict=True):
            points = [p for p in found["rings"] if (p["pairing"], p["block"]) == (pairing, block)
                      and p["value"] is not None]  # fmt: skip
            if not points:
                continue
            rho, value = [sum(p["rho"]) / 2 for p in points], [p["value"] for p in points]
            if pairing == "shuffled":
                ax.plot(rho, value, color=colour, alpha=0.3, lw=1.5, ls="--")
                continue
            ax.plot(rho, value, color=colour, marker="o", ms=4, label=f"block {block}")
            low, high = zip(*(p["interval"] for p in points), strict=True)
            ax.fill_between(rho, low, high, color=colour, alpha=0.15, lw=0)
            said.append(f"block {block} from {value[0]:.2f} to {value[-1]:.2f}")
    if any(p["pairing"] == "shuffled" for p in found["rings"]):
        ax.plot([], [], color="black", alpha=0.4, lw=1.5, ls="--", label="shuffled pairs")
    top = max(p["value"] or 0 for p in found["rings"] if p["pairing"] in ("real", "shuffled"))
    ax.set(title="Where do RGB and infrared part?", xlabel="rho: 1 is the fastest change along an "
           "axis of tokens", ylabel="divergence", ylim=(-0.04, max(1.12, top + 0.05)),
           xlim=(0, CORNER))  # fmt: skip
    ax.legend(loc="lower right", fontsize=9)
    return figure, (
        "Energy-normalised divergence against rho, 0 identical, 1 unrelated, a line a block. From "
        f"the slowest to the fastest ring: {'; '.join(said)}. Shuffled pairs are drawn pale."
    )


def scenes_against_pairs(rows: Sequence[Row], light: str = "all") -> tuple[Figure, str]:
    """DINOv2's divergence on painted scenes over that on real pairs, a panel a block, from the
    rows that tools/scenes_gap.py wrote; `light` is "all", "day" or "night"."""
    sets = {"msrs": ("real pairs (MSRS)", "real", "o"), "scenes": ("painted scenes", "none", "s")}
    table = {name: _rings_by_block(rows, name, light) for name in sets}
    blocks = sorted(table["msrs"])
    if not blocks or blocks != sorted(table["scenes"]):
        raise UserError("The scenes_gap rows lack an arm: run tools/scenes_gap.py again.")
    figure, axes = plt.subplots(1, len(blocks), figsize=(7, 2.9), sharey=True, squeeze=False)
    for ax, block in zip(axes[0], blocks, strict=True):
        _limits(ax, words=ax is axes[0, 0])
        for name, (label, colour, marker) in sets.items():
            value, low, high = np.array([(r.value, *r.interval) for r in table[name][block]]).T
            rho = _centres(EDGES)
            ax.plot(rho, value, marker=marker, ms=4, color=COLOURS[colour], label=label)
            ax.fill_between(rho, low, high, color=COLOURS[colour], alpha=0.2, lw=0)
        ax.set(title=f"block {block}", xlabel="rho", ylim=(-0.04, 1.15), xticks=(0, 0.5, 1))
    axes[0, 0].set_ylabel("divergence")
    figure.suptitle("Do scenes part as real pairs do? (DINOv2 ViT-S/14)", x=0.01, ha="left",
                    fontsize=11.5, fontweight="bold")  # fmt: skip
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    ends = "; ".join(
        f"block {b}, {sets[n][0]}: {table[n][b][0].value:.2f} to {table[n][b][-1].value:.2f}"
        for b in blocks
        for n in sets
    )
    return figure, f"Divergence against rho, one panel a block, slowest to fastest ring. {ends}."


def scenes_distance(rows: Sequence[Row], light: str = "all") -> str:
    """How far the scenes' curve lies from that of the real pairs, in words from the rows."""
    table = {name: _rings_by_block(rows, name, light) for name in ("msrs", "scenes")}
    pairs = [
        (real, ours)
        for block in table["msrs"]
        for real, ours in zip(table["msrs"][block], table["scenes"][block], strict=True)
    ]
    gaps = np.array([ours.value - real.value for real, ours in pairs])
    apart = sum(
        ours.interval[0] > real.interval[1] or ours.interval[1] < real.interval[0]
        for real, ours in pairs
    )
    side = versus(float(gaps.mean()), 0, 0.02, ("above", "around", "below"))
    return (
        f"The scenes' curve lies {side} that of the real pairs: off by {np.abs(gaps).mean():.2f} "
        f"on average, {np.abs(gaps).max():.2f} at most; in {apart} of {len(gaps)} points the "
        "intervals don't touch."
    )


def dumbbell(measured: dict[str, Levels], guess: str | None = None) -> tuple[Figure, str]:
    """Notebook 03's answer: low and high level of each control over `BANDS` (mean over blocks)
    with 95 % whiskers, and their ratio at the side; the guessed row is framed, dashed."""
    figure, ax = plt.subplots(figsize=(7, 3.3))
    said = []
    for y, (name, level) in enumerate(measured.items()):
        mean, (ratio, draws) = level.mean(), level.ratio()
        ends = [float(mean.value[0, ring]) for ring in (0, -1)]
        ax.plot(ends, (y, y), color=COLOURS["floor"], lw=4, zorder=1, solid_capstyle="round")
        for band, ring, at in zip(("low", "high"), (0, -1), ends, strict=True):
            ax.plot(mean.interval[:, 0, ring], (y, y), color=COLOURS[band], lw=1.5, marker="|")
            ax.plot(at, y, "o", ms=9, color=COLOURS[band])
            if not y:
                side = "right" if at == min(ends) else "left"
                ax.text(at, -0.5, band, color=COLOURS[band], ha=side, fontweight="bold")
        ax.text(1.1, y, f"{ratio:.1f}x", va="center", fontweight="bold")
        ax.text(1.27, y, _span(draws), va="center", fontsize=9)
        if guess == NAMES[name]:
            frame = dict(fill=False, ls="--", lw=1.5, color=COLOURS["guess"], clip_on=False)
            ax.axhspan(y - 0.4, y + 0.4, **frame)
        said.append(f"{NAMES[name]} low {ends[0]:.2f}, high {ends[1]:.2f}, ratio {ratio:.1f}")
    for at, word in ((0, "identical"), (1, "unrelated")):
        ax.axvline(at, color=COLOURS["floor"], lw=1, zorder=0)
        ax.text(at, len(measured) - 0.45, word, ha="center", fontsize=9)
    ax.text(1.1, -0.6, "high / low", fontsize=9)
    ax.set(title="Is the gap about infrared?", xlabel="divergence, mean over blocks",
           ylim=(len(measured) - 0.3, -0.8), xlim=(-0.08, 1.54),
           xticks=np.linspace(0, 1, 6))  # fmt: skip
    ax.set_yticks(range(len(measured)), [NAMES[name] for name in measured])
    ax.grid(axis="y", visible=False)
    return figure, "Divergence from 0, identical, to 1, unrelated. " + "; ".join(said) + "."


def _rings_by_block(rows: Sequence[Row], arm: str, light: str) -> dict[int, list[Row]]:
    """The rows of one arm as block -> rings in order; classes read block5/ring3."""
    found: dict[int, dict[int, Row]] = {}
    for row in pick(rows, arm=arm, metric="divergence", split=f"train/{light}"):
        block, _, ring = row.klass.removeprefix("block").partition("/ring")
        if ring:
            found.setdefault(int(block), {})[int(ring)] = row
    return {b: [rings[i] for i in sorted(rings)] for b, rings in sorted(found.items())}


def _centres(edges: Sequence[float]) -> np.ndarray:
    return (np.array(edges[1:]) + np.array(edges[:-1])) / 2


def _limits(ax: Axes, words: bool = True) -> None:
    for level, word in ((0, "identical"), (1, "unrelated")):
        ax.axhline(level, color=COLOURS["floor"], lw=1.2)
        if words:
            ax.text(0.02, level + 0.02, word, fontsize=9, transform=ax.get_yaxis_transform())
