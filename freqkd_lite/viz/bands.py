"""What lives in each band, and what a loss sees of it: figures of notebooks 00, 02 and 04.

Figures come back with their description for readers who can't see them: `show(*chain())`.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import mse_loss

from freqkd_lite.data import Pair, PairSet
from freqkd_lite.errors import UserError
from freqkd_lite.names import NAMES
from freqkd_lite.spectrum import (
    band_energies,
    band_mask,
    centred_rectangle,
    energy_above,
    radial_power,
    radius,
)
from freqkd_lite.spectrum import band_overlap as overlap
from freqkd_lite.viz.style import COLOURS, versus

SIDES = ("RGB", "heat")
COSTS = {"nothing": 0.0, "as much as no high band at all": 1.0, "four times as much as that": 4.0}
CHAIN = (
    ("data", "pairs of\npictures", "00"),
    ("features", "maps of\ntokens", "01"),
    ("spectrum", "low band,\nhigh band", "02  03"),
    ("losses", "one cost", "04  10"),
    ("distil", "a student of\ninfrared", "05"),
    ("evaluate", "AP and IoU\nwith intervals", "06  07"),
)
"""The package's modules in order: what each hands on, and the notebooks that ask about it."""
_CLOSE = 0.05  # shares and correlations nearer than this are called level


def one_pair(pairs: PairSet, picture: int) -> Pair:
    """The pair that is drawn; one sentence when there is none of that number."""
    if not 0 <= picture < len(pairs):
        raise UserError(f"picture={picture} is none of the pairs: use 0 to {len(pairs) - 1}.")
    return pairs[picture]


# ------------------------------------------------------------------- 00: what a thumbnail keeps


def standard(x: Tensor) -> Tensor:
    """Each picture of x (N, 1, H, W) with mean 0 and standard deviation 1, so that neither of two
    modalities outshines the other. `UserError` for a picture of one value."""
    spread = x.std((2, 3), keepdim=True)
    if not (spread > 1e-6).all():
        raise UserError("A picture has one value everywhere: choose another one.")
    return (x - x.mean((2, 3), keepdim=True)) / spread


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation (N,) of pictures a, b (N, 1, H, W): 1 the same but for brightness and
    contrast, 0 unrelated, -1 the negative."""
    return (standard(a) * standard(b)).sum((1, 2, 3)) / (a[0].numel() - 1)


def thumbnail_conclusion(
    with_rgb: Tensor, with_heat: Tensor, apart: Tensor, guess: str | None = None
) -> str:
    """What the thumbnails of hybrids show, from their correlations (N,) with the thumbnails of the
    RGB and of the infrared pictures; `apart` (N,) is how those two correlate with each other."""
    rgb, heat = (float(x.mean()) for x in (with_rgb, with_heat))
    won = int((with_heat > with_rgb).sum())
    found = versus(rgb, heat, _CLOSE, (SIDES[0], "neither more than the other", SIDES[1]))
    verdict = ""
    if guess:
        verdict = " You guessed it." if guess == found else f" You guessed {guess}."
    return (
        f"The thumbnail of the hybrid shows: {found}.{verdict}\n"
        f"It correlates {heat:.2f} with the thumbnail of infrared and {rgb:.2f} with that of RGB, "
        f"which correlate {float(apart.mean()):.2f} with each other (mean of {len(apart)} pairs).\n"
        f"Infrared is the nearer one in {won} of {len(apart)}."
    )


def hybrid(
    large: Tensor, small: dict[str, Tensor], words: str, guess: str | None = None
) -> tuple[Figure, str]:
    """One picture `large` (H, W) beside thumbnails `small` (name -> (h, w)), drawn small; the one
    that belongs to `guess` is framed, dashed. `words` say what the picture is made of."""
    figure = plt.figure(figsize=(7, 4.1), layout="none")
    big = figure.add_axes((0.01, 0.06, 0.7, 0.82))
    _grey(big, large)
    big.set_title("What survives in a thumbnail?")
    figure.text(0.04, 0.015, words, fontsize=9)
    height = 0.82 / len(small)
    for i, (name, picture) in enumerate(small.items()):
        ax = figure.add_axes((0.77, 0.88 - (i + 0.78) * height, 0.13, 0.6 * height))
        _grey(ax, picture)
        weight = "bold" if "hybrid" in name else "normal"
        ax.set_title(name, fontsize=9.5, fontweight=weight, loc="left")
        if guess and SIDES[guess == SIDES[1]] in name:
            _frame(ax)
    h, w = next(iter(small.values())).shape
    return figure, (
        f"{words} At left it is large, {large.shape[0]} by {large.shape[1]} pixels. At right three "
        f"thumbnails of {h} by {w} pixels, one above the other: {'; '.join(small)}."
    )


def chain() -> tuple[Figure, str]:
    """The map of the walk: what each module hands to the next, and which notebooks ask about it."""
    figure, ax = plt.subplots(figsize=(7, 1.8))
    for i, (module, gives, notebooks) in enumerate(CHAIN):
        ax.text(i, 0.62, module, ha="center", va="center", fontweight="bold", fontsize=10,
                bbox=dict(boxstyle="round,pad=0.45", fc="w", ec=COLOURS["visible"]))  # fmt: skip
        ax.text(i, 0.4, gives, ha="center", va="top", fontsize=9)
        ax.text(i, 0.92, notebooks, ha="center", fontsize=10, color=COLOURS["infrared"])
        if i:
            ax.annotate("", (i - 0.4, 0.62), (i - 0.6, 0.62), arrowprops=dict(arrowstyle="->"))
    ax.set(xlim=(-0.5, len(CHAIN) - 0.5), ylim=(0.12, 1.02),
           title="How does a pair of pictures become a score?")  # fmt: skip
    ax.axis("off")
    steps = "; ".join(f"{m} gives {' '.join(g.split())} (notebooks {n})" for m, g, n in CHAIN)
    return figure, f"Boxes from left to right, joined by arrows: {steps}."


# ------------------------------------------------------------------------ 02: what a band holds


def low_share(x: Tensor, cutoff: float = 0.5, shape: str = "rectangle") -> float:
    """The low band's share, 0 to 1, of the energy of x (N, C, H, W) over all images; each channel's
    mean over space is left out, as in stage 1."""
    low, high = band_energies(x - x.mean((2, 3), keepdim=True), cutoff, shape)
    total = float((low + high).sum())
    if total == 0:
        raise UserError("Maps of one value everywhere have no energy to share: give other ones.")
    return float(low.sum()) / total


def flat_share(h: int, w: int, cutoff: float = 0.5) -> float:
    """`low_share` of white noise: the low band's share of the bins, the zero frequency left out."""
    return (int(band_mask(h, w, cutoff).sum()) - 1) / (h * w - 1)


def shares(
    curves: dict[str, np.ndarray],
    cutoffs: np.ndarray,
    grid: tuple[int, int],
    guess: float | None = None,
) -> tuple[Figure, str]:
    """The low band's share against the cutoff, beside that of white noise on the features' `grid`,
    for "visible", "infrared" (pictures; (cutoffs,)) and
    "visible features", "infrared features" ((blocks, cutoffs): thin lines, thick their mean)."""
    figure, ax = plt.subplots(figsize=(7, 3.7))
    flat = np.array([flat_share(*grid, cutoff) for cutoff in cutoffs])
    ax.plot(cutoffs, flat, color=COLOURS["floor"], drawstyle="steps-post")
    ax.annotate("features, were all\nfrequencies equal", (0.5, value_at(flat, cutoffs, 0.5)),
                (3, -4), fontsize=9, va="top", textcoords="offset points")  # fmt: skip
    said = []
    for name, curve in curves.items():
        key, _, kind = name.partition(" ")
        mean = curve.mean(0) if kind else curve
        label = f"{NAMES[key]}, {kind or 'pictures'}"
        line = dict(color=COLOURS[key], drawstyle="steps-post" if kind else None)
        ax.plot(cutoffs, mean, ls="-" if kind else ":", label=label, **line)
        for block in curve if kind and len(curve) > 1 else ():
            ax.plot(cutoffs, block, lw=0.7, alpha=0.4, **line)
        said.append(f"{label} {value_at(mean, cutoffs):.2f}")
    ax.axvline(0.5, color=COLOURS["floor"], lw=1, zorder=0)
    if guess is not None:
        ax.plot((0, 0.5), (guess, guess), color=COLOURS["guess"], ls="--", lw=1.5)
        ax.annotate("your guess", (0.02, guess), (0, 4), textcoords="offset points", fontsize=9)
    ax.set(title="What lives in the low band?", xlim=(0, 1), ylim=(0, 1.02),
           xlabel="cutoff, as a share of the Nyquist frequency of an axis",
           ylabel="share of the energy")  # fmt: skip
    ax.legend(loc="lower right", fontsize=9)
    return figure, (
        "Share of the energy in the low band against the cutoff. At cutoff 0.5: "
        + "; ".join(said)
        + f"; features of a flat spectrum {value_at(flat, cutoffs):.2f}. "
        "Features as a mean over blocks, each block thin."
    )


def share_conclusion(
    curves: dict[str, np.ndarray],
    cutoffs: np.ndarray,
    grid: tuple[int, int],
    guess: float | None = None,
) -> str:
    """What the low band holds at cutoff 0.5, in words; arguments as `shares` takes them."""
    at = {name: value_at(curve, cutoffs) for name, curve in curves.items()}
    rgb, heat = at["visible features"], at["infrared features"]
    lines = [f"At cutoff 0.5 the low band holds {rgb:.0%} of the features' energy on RGB and "
             f"{heat:.0%} on infrared; of the pictures' {at['visible']:.0%} and "
             f"{at['infrared']:.0%}."]  # fmt: skip
    if guess is not None:
        side = versus(guess, rgb, _CLOSE, ("too much", "close", "too little"))
        lines.append(f"You guessed {guess:.0%} for features of RGB: {side}.")
    flat = flat_share(*grid)
    side = versus(rgb, flat, _CLOSE, ("more than", "about", "less than"))
    lines.append(f"That is {side} the {flat:.0%} that its bins would hold if all were equal.")
    side = versus(rgb, at["visible"], _CLOSE, ("more", "as much", "less"))
    beside = "as" if side == "as much" else "than"
    lines.append(f"A map of tokens keeps {side} of its energy in its low band {beside} the "
                 "picture, each on its own grid.")  # fmt: skip
    return "\n".join(lines)


def falling(h: int, w: int) -> Tensor:
    """Power 1/rho^2 (h, w), as natural pictures roughly have; 0 at the zero frequency."""
    rho = radius(h, w)
    return torch.where(rho > 0, rho.clamp_min(1e-9) ** -2, 0.0)


def masks(
    grid: tuple[int, int], measured: float, others: Sequence[tuple[int, int]] = ()
) -> tuple[Figure, str]:
    """The coded mask on a grid, bins without a partner marked, and the energy that its bands lack
    on square grids, on `others`, and `measured` on this run's features (a share)."""
    figure, (left, ax) = plt.subplots(1, 2, figsize=(7, 3.1), width_ratios=(1, 1.5))
    mask = centred_rectangle(*grid)
    lonely = mask & ~mask.flip(0, 1).roll((1, 1), (0, 1))
    picture = torch.fft.fftshift(mask.int() + lonely.int()).numpy()
    fills = (COLOURS["high"], COLOURS["low"], "#F0E442")
    left.imshow(np.array([plt.matplotlib.colors.to_rgb(c) for c in fills])[picture])
    left.plot(grid[1] // 2, grid[0] // 2, "k+", ms=8)
    keys = zip(fills, ("high", "low", "low, no partner at -f"), strict=True)
    left.legend(handles=[plt.Rectangle((0, 0), 1, 1, color=c, label=w) for c, w in keys],
                loc="upper center", bbox_to_anchor=(0.5, -0.02), fontsize=9)  # fmt: skip
    left.set_title(f"Which bins ({grid[0]}x{grid[1]})?")
    left.axis("off")
    sizes = np.arange(8, 49)
    for name, style in (("white noise", "-"), ("power 1/f$^2$", ":")):
        lost = [_lost(n, n, name != "white noise") for n in sizes]
        ax.plot(sizes, lost, style, color=COLOURS["code"], lw=1.6, label=name)
    ax.axhline(0, color=COLOURS["low"], label="symmetric mask")
    side = float(np.sqrt(grid[0] * grid[1]))
    ax.plot(side, 100 * measured, "o", color=COLOURS["teacher"], label="this run's features")
    for h, w in others:
        ax.plot((h * w) ** 0.5, _lost(h, w, False), "s", ms=5, color=COLOURS["none"])
        ax.annotate(f"{h}x{w}", ((h * w) ** 0.5, _lost(h, w, False)), (0, 7), fontsize=9,
                    textcoords="offset points", ha="center")  # fmt: skip
    ax.set(title="What do the coded bands lose?", xlabel="tokens along a side of the grid",
           ylabel="energy unaccounted for, %", ylim=(-0.6, None))  # fmt: skip
    ax.legend(fontsize=9)
    marked = "".join(f" On {h}x{w}, white noise: {_lost(h, w, False):.1f} %." for h, w in others)
    return figure, (
        f"Left: the coded mask on {grid[0]}x{grid[1]} bins, zero frequency in the middle; "
        f"{int(mask.sum())} bins are low, {int(lonely.sum())} of them without a partner at the "
        "opposite frequency. Right: energy unaccounted for, in percent, against the side of a "
        f"square grid: {_lost(8, 8, False):.1f} at 8 and {_lost(48, 48, False):.1f} at 48 for "
        f"white noise, {_lost(8, 8, True):.1f} and {_lost(48, 48, True):.1f} for power 1/f^2; "
        f"0 for a symmetric mask; {100 * measured:.1f} for this run's features.{marked}"
    )


def mask_conclusion(name: str, unaccounted: float, cosine: float) -> str:
    """Whether bands of a mask are orthogonal, in words, from `overlap` or its measured like."""
    if max(abs(unaccounted), abs(cosine)) < 1e-4:
        return f"{name}: the bands are orthogonal, and their energies add up to the whole."
    how = "missing from" if unaccounted > 0 else "counted twice in"
    return (
        f"{name}: {abs(unaccounted):.1%} of the energy is {how} the two bands; they are not "
        f"orthogonal (cosine {cosine:.3f})."
    )


def _lost(h: int, w: int, steep: bool) -> float:
    return 100 * overlap(centred_rectangle(h, w), falling(h, w) if steep else 1.0)[0]


def value_at(curve: np.ndarray, axis: np.ndarray, at: float = 0.5) -> float:
    """A curve's value where `axis` (n,) comes nearest to `at`; of curves (blocks, n) the mean."""
    return float(np.atleast_2d(curve)[:, int(np.abs(axis - at).argmin())].mean())


# ------------------------------------------------------------------- 04: what the high term sees


def valleys(
    t: np.ndarray,
    costs: dict[str, np.ndarray],
    pictures: dict[float, Tensor],
    guess: str | None = None,
) -> tuple[Figure, str]:
    """Cost of s_high = t * t_high against t, for "code" and for "signed", both (t,) in units of
    what no high band at all costs with signs; above it `pictures` (t -> (H, W)) with their high
    band so scaled. `guess`, one of `COSTS`, is drawn dashed at t = -1."""
    figure = plt.figure(figsize=(7, 5.4))
    top, bottom = figure.subfigures(2, 1, height_ratios=(1, 2))
    for ax, (scale, picture) in zip(top.subplots(1, len(pictures)), pictures.items(), strict=True):
        _grey(ax, picture)
        ax.set_title(f"high band times {scale:g}", fontsize=10, fontweight="normal")
    ax = bottom.subplots()
    named = {"signed": ("MSE, with signs", COLOURS["mse"], "-"),
             "code": (NAMES["code"], COLOURS["code"], "-")}  # fmt: skip
    for key, (label, colour, line) in named.items():
        ax.plot(t, costs[key], line, color=colour, label=label)
    ax.axvline(-1, color=COLOURS["floor"], lw=1, zorder=0)
    ax.axvline(1, color=COLOURS["floor"], lw=1, zorder=0)
    if guess:
        ax.plot((-1.6, -0.4), (COSTS[guess],) * 2, color=COLOURS["guess"], ls="--", lw=1.5)
        ax.annotate("your guess", (-1.6, COSTS[guess]), (0, 5), textcoords="offset points",
                    fontsize=9)  # fmt: skip
    ax.set(title="What does the high-band term punish?", ylim=(-0.3, 5),
           xlabel="t: the student's high band is t times the teacher's",
           ylabel="cost (MSE without high band = 1)")  # fmt: skip
    ax.set_xticks(range(-2, 3), ["-2", "-1\nnegated", "0\nnone", "1\nthe teacher's", "2"])
    ax.legend(loc="upper right", fontsize=9)
    at = {k: [f"{value_at(costs[k], t, x):.2f} at {x}" for x in (-1, 0, 1)] for k in named}
    ends = "; ".join(f"{named[key][0]}: {', '.join(values)}" for key, values in at.items())
    return figure, (
        f"Above: one picture with its high band times {', '.join(f'{s:g}' for s in pictures)}. "
        f"Below: cost against t, in units of no high band at all, with signs. {ends}."
    )


def valley_conclusion(t: np.ndarray, costs: dict[str, np.ndarray], guess: str | None = None) -> str:
    """What a negated high band costs under either term, in words; `costs` as in `valleys`."""
    code, signed, none = (value_at(costs[k], t, x) for k, x in
                          (("code", -1), ("signed", -1), ("code", 0)))  # fmt: skip
    if code < 1e-6:
        sees = "costs nothing: to this term it is as good as the teacher's own. A second valley."
    elif code < none - _CLOSE:
        sees = f"costs {code:.2f}, less than none at all ({none:.2f}). A second, shallower valley."
    else:
        sees = f"costs {code:.2f}, none at all {none:.2f}. No second valley."
    nearest = min(COSTS, key=lambda words: abs(COSTS[words] - code))
    verdict = ""
    if guess:
        verdict = "\nYou guessed it." if guess == nearest else f"\nYou guessed: {guess}."
    return (
        f"A negated high band {sees}\nThe same weight on a plain MSE of the high band would charge "
        f"{signed:.2f} (no high band at all = 1).{verdict}"
    )


def log_deviation(student_high: Tensor, teacher_high: Tensor) -> dict[str, float]:
    """How far log1p of magnitudes is from the magnitudes themselves, as shares of the latter.

    rms: root mean square of both bands' elements; "element": 1 - log1p(a) / a at a = rms;
    "element p99": at the 99th percentile of |a|; "term": 1 - MSE of log1p |s|, log1p |t| over MSE
    of |s|, |t|, which is what the log changes in the loss.
    """
    student, teacher = student_high.abs(), teacher_high.abs()
    both = torch.cat([student.flatten(), teacher.flatten()]).double()
    points = {"element": both.square().mean().sqrt(), "element p99": _quantile(both, 0.99)}
    found = {name: float(1 - torch.log1p(a) / a) for name, a in points.items()}
    with_log = mse_loss(torch.log1p(student), torch.log1p(teacher))
    term = float(1 - with_log / mse_loss(student, teacher))
    return {"rms": float(points["element"]), **found, "term": term}


def logs(elements: Tensor, width: int) -> tuple[Figure, str]:
    """log(1 + a) beside a, with the histogram of the high band's `elements` |a| below; the scale
    that reaches over it is marked for maps as wide as FreqKD's (1024 channels)."""
    a = elements.abs().flatten().double()
    rms, end = float(a.square().mean().sqrt()), float(_quantile(a, 0.9995))
    figure, (ax, below) = plt.subplots(2, 1, figsize=(7, 4), height_ratios=(2, 1), sharex=True)
    x = np.linspace(0, end, 200)
    ax.plot(x, x, color=COLOURS["mse"], lw=1.5, label="|a|: a plain magnitude")
    ax.plot(x, np.log1p(x), color=COLOURS["code"], label="log(1 + |a|): as coded")
    ax.set(title="Does the log bend anything?", ylabel="what the loss compares")
    ax.legend(fontsize=9)
    below.hist(a.numpy(), bins=60, range=(0, end), color=COLOURS["high"])
    below.set(xlabel="|a|, elements of the high band at unit norm a token", ylabel="elements",
              yticks=(), xlim=(0, end))  # fmt: skip
    wide = rms * (width / 1024) ** 0.5
    marks = ((wide, f"RMS {wide:.3f} if spread over 1024 channels", 0.86),
             (rms, f"RMS {rms:.3f} of these {width} channels", 0.7))  # fmt: skip
    for at, words, height in marks:
        for axes in (ax, below):
            axes.axvline(at, color=COLOURS["none"], lw=1, ls=":")
        ax.annotate(words, (at, height), (4, 0), xycoords=("data", "axes fraction"), fontsize=9,
                    textcoords="offset points", bbox=dict(fc="w", ec="none", pad=1))  # fmt: skip
    return figure, (
        f"Top: |a| and log(1 + |a|) from 0 to {end:.2f}; at the right end the log is "
        f"{1 - np.log1p(end) / end:.1%} lower. Bottom: histogram of the elements, whose root mean "
        f"square is {rms:.3f} at {width} channels."
    )


def log_conclusion(deviation: dict[str, float], wide: dict[str, float] | None = None) -> str:
    """How much the log changes, in words, from `log_deviation`; `wide`: that of the same elements
    as a network of 1024 channels would have them."""
    term = deviation["term"]
    words = ("does next to nothing", "changes it by a few percent", "does change it")
    bends = words[(abs(term) >= 0.02) + (abs(term) >= 0.15)]
    side = "lower" if term > 0 else "higher"
    at_width = "" if wide is None else (
        f"\nWith 1024 channels the term would be {abs(wide['term']):.1%} "
        f"{'lower' if wide['term'] > 0 else 'higher'}, if elements shrink as the root of the width "
        "grows; that is no measurement of such a network."
    )  # fmt: skip
    return (
        f"Elements have an RMS of {deviation['rms']:.3f}. There log(1 + a) is "
        f"{deviation['element']:.1%} below a; at the 99th percentile, "
        f"{deviation['element p99']:.1%}.\n"
        f"The term as a whole is {abs(term):.1%} {side} with the log than without: here the log "
        f"{bends}.{at_width}"
    )


SENT = {
    "FreqKD and its variants": ("freqkd_code", "signed", "low_only", "high_only",
                                "freqkd_paper", "robust", "swapped"),
    "Weighed, or by what can be learned": ("step", "lowpass", "coherence", "anchor", "projected"),
    "What others published": ("mse_raw", "unic", "pkd", "cwd", "wavelet", "spectralkd", "gram",
                              "attention"),
}  # fmt: skip
"""The losses whose gradients are drawn, by panel; plain MSE stands in each."""
SPARE = [("#7F7F7F", "-"), ("#CC79A7", "--"), ("#000000", ":"), ("#8C564B", "-."),
         ("#D55E00", "--"), ("#009E73", "--"), ("#17BECF", "-.")]  # fmt: skip
"""Colour and line of losses that have no colour of their own in `COLOURS`."""


def gradient_spectra(sent: dict[str, Sequence[Tensor]]) -> dict[str, np.ndarray]:
    """Power per bin and ring of `RINGS` (rings,) of the gradients that each loss sends to maps, a
    list of (N, C, h, w) by block; each block scaled to mean power 1, then the mean over blocks."""
    found = {}
    for name, blocks in sent.items():
        levels = [radial_power(g / g.square().mean().sqrt())[1] for g in blocks]
        found[name] = torch.stack(levels).mean(0).cpu().numpy()
    return found


def gradients(sent: dict[str, Sequence[Tensor]]) -> tuple[Figure, str]:
    """How strong a pull each loss sends to each frequency: root of `gradient_spectra` over rho, in
    the panels of `SENT`. `sent`: the losses' gradients, of "mse" and of one or more of `SENT`."""
    panels = {title: ["mse", *(n for n in names if n in sent)] for title, names in SENT.items()}
    panels = {title: names for title, names in panels.items() if len(names) > 1}
    figure, axes = plt.subplots(1, len(panels), figsize=(1.2 + 3.1 * len(panels), 4.4),
                                sharey=True, squeeze=False)  # fmt: skip
    spectra = {name: np.sqrt(power) for name, power in gradient_spectra(sent).items()}
    centres = radial_power(next(iter(sent.values()))[0])[0]
    for ax, (title, names) in zip(axes[0], panels.items(), strict=True):
        ax.axvline(0.5, color=COLOURS["floor"], lw=1, zorder=0)
        widths, spare = np.linspace(3.6, 1.2, len(names)), iter(SPARE)
        for name, lw in zip(names, widths, strict=True):  # lines that lie on each other show
            colour, dash = (COLOURS[name], "-") if name in COLOURS else next(spare)
            ax.plot(centres, spectra[name], dash, color=colour, label=NAMES[name], lw=lw)
        ax.set(xlabel="rho (1 = Nyquist of an axis)", yscale="log")
        ax.set_title(title, fontsize=10)
        ax.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2)
    axes[0, 0].set_ylabel("gradient per bin (RMS of all = 1)")
    figure.suptitle("What does each loss pull at?", fontweight="bold", fontsize=11.5, x=0.02,
                    ha="left")  # fmt: skip
    told = [f"{NAMES[name]} {of[0]:.2g} to {of[-1]:.2g}" for name, of in spectra.items()]
    return figure, (
        "The size of each loss's gradient against rho on the same pairs, scaled to a common total; "
        f"from the lowest ring to the highest: {'; '.join(told)}."
    )


def agreement(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Cosine between two losses' gradients, lists of maps by block; mean over blocks."""
    cosines = []
    for a, b in zip(one, other, strict=True):
        a, b = a.flatten().double(), b.flatten().double()
        cosines.append(float(a @ b / (a.norm() * b.norm()).clamp_min(1e-300)))
    return float(np.mean(cosines))


def gradient_conclusion(
    sent: dict[str, Sequence[Tensor]], high: dict[str, Sequence[Tensor]]
) -> str:
    """How much reaches the high band, from most to least, and how far the missing sign turns it, in
    words. `sent`: gradients of whole losses; `high`: of the high band's terms of "freqkd_code" and
    "signed" alone."""
    beyond = {name: np.mean([float(energy_above(g, 0.5).mean()) for g in blocks])
              for name, blocks in sent.items()}  # fmt: skip
    shares = [f"{NAMES[name]} {beyond[name]:.0%}" for name in sorted(beyond, key=beyond.get)[::-1]]
    turned = agreement(high["freqkd_code"], high["signed"])
    words = ("nearly the same way", "partly the same way", "different ways")
    same = words[(turned < 0.9) + (turned < 0.5)]
    both = zip(high["freqkd_code"], sent["freqkd_code"], strict=True)
    part = np.mean([float(h.norm() / g.norm()) for h, g in both])
    return (
        f"Of its gradient's energy each sends beyond rho 0.5: {', '.join(shares)}.\n"
        f"FreqKD's high term brings a gradient of {part:.1%} of the whole one's size. With and "
        f"without signs it pulls {same} (cosine {turned:.2f})."
    )


def _quantile(x: Tensor, share: float) -> Tensor:
    """A quantile by sorting: torch.quantile refuses more than 16 million elements."""
    return x.flatten().kthvalue(max(1, round(share * x.numel())))[0]


def _grey(ax: Axes, picture: Tensor) -> None:
    """A picture (H, W) in grey, its darkest and lightest percent clipped."""
    low, high = np.percentile(picture.numpy(), (1, 99))
    ax.imshow(picture.numpy(), cmap="gray", vmin=low, vmax=high)
    ax.axis("off")


def _frame(ax: Axes) -> None:
    dashed = dict(fill=False, ls="--", lw=1.5, ec=COLOURS["guess"], clip_on=False)
    ax.add_patch(plt.Rectangle((-0.03, -0.04), 1.06, 1.08, transform=ax.transAxes, **dashed))
