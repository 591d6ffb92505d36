"""The fader: drag a cutoff and see what lives in each band of an RGB-infrared pair.

Three panels: the low band of one modality + the high band of the other = a hybrid. Two controls:
the cutoff, and a swap of the modalities. Under the cutoff's slider, on the same axis, the pair's
own divergence curve. fader.js splits the bands in the browser, so the picture follows the hand;
numbers and text are prepared here.
"""

import math
import textwrap
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
import traitlets
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional

from freqkd_lite.data import Pair
from freqkd_lite.errors import UserError
from freqkd_lite.spectrum import CUTOFF_LIMITS, band_mask, band_overlap, power_spectrum, split_bands
from freqkd_lite.viz.style import COLOURS, SIDES
from freqkd_lite.widgets import drawing
from freqkd_lite.widgets.drawing import write
from freqkd_lite.widgets.embed import PageWidget, module, name_and_pictures, nearest_step

MAX_PIXELS = 60_000  # the page holds every pixel of both pictures: about 400 kB at this size


class Fader(PageWidget):
    """The fader of a pair, or of the features of one.

    pair: a `Pair`, or (visible, infrared) as uint8 or float [0, 1] arrays (3 or 1, H, W) of at most
    60,000 pixels. features: (visible, infrared) maps (C, h, w), shown in place of the pair as their
    first three principal components. shape: "rectangle" or "disk", see `spectrum.band_mask`.
    cutoff: in hundredths, a share of the Nyquist frequency of an axis. swap: low band of infrared,
    high band of RGB. gain: contrast of the high band's panel (2; 1 for features). edge "hard" or
    "soft", transform "fft" or "dct": see `spectrum.split_bands`. `UserError` for input that doesn't
    fit.

    The curve is the divergence of this one pair, of its luminance or of all features' channels, in
    rings of what the cutoff cuts: rho for a disk, 2 max(|fy|, |fx|) for a rectangle.

    `cutoff` and `swap` follow the reader, can be set and observed; `cutoffs` are the slider's
    steps. For each step, `shares` (steps, 2) is the low band's share of the energy, the mean left
    out, of RGB and of infrared, and `divergences` (steps, 2) are those in the low and in the high
    band, NaN in a band that holds nothing.
    """

    _esm = module("fader")
    pixels = traitlets.Bytes().tag(sync=True)
    cutoff = traitlets.Float(0.5).tag(sync=True)
    swap = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        pair: Pair | tuple | None = None,
        shape: str = "rectangle",
        features: tuple | None = None,
        cutoff: float = 0.5,
        swap: bool = False,
        gain: float | None = None,
        *,
        edge: str = "hard",
        transform: str = "fft",
    ):
        if pair is None and features is None:
            raise UserError("fader() has nothing to show: give pair=... or features=....")
        self.band: dict[str, Any] = {"shape": shape, "edge": edge, "transform": transform}
        band_mask(1, 1, **self.band)  # names what is unknown
        about = "RGB and infrared of one scene"
        if isinstance(pair, Pair):
            about, pair = name_and_pictures(pair)
        self.is_features = is_features = features is not None
        maps = _check_features(features) if is_features else _check_pair(pair)
        self.pictures = tuple(x.double() for x in (_principal(maps) if is_features else maps))
        gain = (1 if is_features else 2) if gain is None else gain
        if not isinstance(gain, Real) or not 0 < gain < 100:
            raise UserError(f"gain={gain!r} is no contrast: give a number above 0, such as 2.")
        limit = CUTOFF_LIMITS[shape]
        steps = [step / 100 for step in range(1, int(limit * 100) + 1)]
        self.cutoffs = (*steps, limit) if limit > steps[-1] else tuple(steps)
        spectra = _spectra(maps, transform, grey=not is_features)
        shares, self.divergences = _by_cutoff(spectra, self.cutoffs, self.band)
        self.shares = shares[..., 0]
        pixels = torch.cat(self.pictures)
        pixels = pixels.float() if is_features else (pixels * 255).round().byte()
        unit, kind = ("token", " features") if is_features else ("pixel", "")
        by_step = zip(self.cutoffs, shares.tolist(), self.divergences.tolist(), strict=True)
        footnote = _footnote(len(maps[0]) if is_features else 0, gain, self.band, pixels.shape[1:])
        spec = {
            "dtype": "float32" if is_features else "uint8",
            "channels": [len(picture) for picture in self.pictures],
            "height": pixels.shape[1],
            "width": pixels.shape[2],
            **self.band,
            "gain": gain,
            "curve": _curve(spectra, self.cutoffs, self.band),
            "thumbnail": not is_features,
            "colours": [COLOURS["low"], COLOURS["high"], COLOURS["none"]],
            "title": f"Fader: bands of {SIDES[0]} and {SIDES[1]}{kind}",
            "label": "Cutoff, as a share of the Nyquist frequency of an axis",
            "swap_label": f"Swap: low of {SIDES[1]}, high of {SIDES[0]}",
            "energy": [f"{name}{kind}'{'' if kind else 's'} energy" for name in SIDES],
            "question": "" if is_features else "Seen small: RGB or infrared?",
            "footnote": footnote,
            "about": about,
            "panels": [
                [f"Low band of {low}{kind}", f"High band of {high}{kind}", f"Hybrid{kind}"]
                for low, high in (SIDES, SIDES[::-1])
            ],
            "steps": [_step(*numbers, unit, edge) for numbers in by_step],
        }
        sent = pixels.contiguous().numpy().tobytes()
        super().__init__(spec=spec, pixels=sent, cutoff=cutoff, swap=swap)

    @traitlets.validate("cutoff")
    def _known_cutoff(self, proposal: dict) -> float:
        return nearest_step("cutoff", proposal["value"], self.cutoffs)

    def panels(self, cutoff: float, swap: bool = False) -> list[np.ndarray]:
        """The three pictures at a cutoff: uint8 (h, w, 3) low, high and hybrid."""
        bands = [split_bands(x, cutoff, **self.band) for x in self.pictures]
        low, high = bands[swap][0], bands[not swap][1]
        shown = (low, 0.5 + self.spec["gain"] * high, low + high)
        return [
            (x.expand(3, -1, -1) * 255).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
            for x in shown
        ]

    def states(self) -> list[tuple]:
        """The cutoff now, and two others."""
        others = (0.25, 0.5, 0.75) if self.is_features else (0.06, 0.15, 0.5)
        found = sorted({*sorted(others, key=lambda c: abs(c - self.cutoff))[1:], self.cutoff})
        return [(cutoff, self.swap, cutoff == found[-1]) for cutoff in found]

    def step(self, cutoff: float) -> dict:
        """What the page says at a cutoff, see `_step`."""
        return self.spec["steps"][self.cutoffs.index(cutoff)]

    def alt_text(self) -> str:
        panels = self.spec["panels"][self.swap]
        rows = []
        for cutoff, *_ in self.states():
            shares = self.step(cutoff)["shares"]
            low, high = shares[self.swap][0], shares[not self.swap][1]
            rows.append(f"cutoff {cutoff:g}, {low} % and {high} %")
        return (
            f"{self.spec['about']}. Three panels a row: {panels[0]}, {panels[1]}, and their sum, "
            f"the {panels[2].lower()}. Share of the energy in the first two: {'; '.join(rows)}."
        )

    def card(self, cutoff: float, swap: bool, footnote: bool = True) -> Image.Image:
        """One state drawn as a picture, much as the page shows it."""
        spec, step = self.spec, self.step(cutoff)
        scale = max(1, 224 // spec["width"])
        w, h = spec["width"] * scale, spec["height"] * scale
        gap, top = 24, 86
        width = 3 * w + 2 * gap + 16
        notes = textwrap.wrap(spec["footnote"], (width - 16) // 6) if footnote else []
        card, draw = drawing.canvas(width, top + 24 + h + 60 + 16 * len(notes))
        at = self.cutoffs.index(cutoff) / (len(self.cutoffs) - 1)
        box = (8, 4, width - 9, 38)
        drawing.cut_curve(draw, box, spec["curve"], at, spec["colours"])
        write(draw, 8, top - 42, f"Cutoff {step['number']}: {step['readout']}")
        write(draw, 8, top - 22, step["divergence"], 12)
        for i, pixels in enumerate(self.panels(cutoff, swap)):
            x, y = 8 + i * (w + gap), top + 24
            drawing.titled(draw, x, top + 2, spec["panels"][swap][i], spec["colours"][i])
            picture = Image.fromarray(pixels).resize((w, h), Image.Resampling.NEAREST)
            card.paste(picture, (x, y))
            if i:
                write(draw, x - gap / 2, y + h / 2, "+="[i - 1], 20, anchor="mm")
            y += h + 6
            if i < 2:
                source = i ^ swap
                share = step["shares"][source][i]
                write(draw, x, y, f"{share} % of {spec['energy'][source]}", 12)
                draw.rectangle((x, y + 19, x + w - 1, y + 26), outline=drawing.QUIET)
                end = x + 1 + (w - 3) * float(share) / 100
                draw.rectangle((x + 1, y + 20, end, y + 25), spec["colours"][i])
            elif spec["thumbnail"]:
                picture.thumbnail((56, 42), Image.Resampling.LANCZOS)
                card.paste(picture, (x, y))
                write(draw, x + 64, y, spec["question"], 12)
        for i, line in enumerate(notes):
            write(draw, 8, card.height - 16 * (len(notes) - i) - 4, line, 12)
        return card


def _step(
    cutoff: float, shares: list[list[float]], divergences: list[float], unit: str, edge: str
) -> dict:
    """What the page says at one cutoff. shares: of RGB and infrared, in the low and high band."""
    number = f"{cutoff:.2f}" if cutoff == round(cutoff, 2) else f"{cutoff:.3f}"
    wave = 2 / cutoff
    wave = f"waves of {f'{wave:.0f}' if wave >= 10 else f'{wave:.2g}'} {unit}s and longer are low"
    cycles = f"{cutoff / 2:.3g} cycles per {unit}"
    low, high = ("none" if math.isnan(d) else f"{d:.2f}" for d in divergences)
    scale = "0 identical, 1 unrelated, 2 opposite"
    return {
        "cutoff": cutoff,
        "number": number,
        "readout": f"{wave} ({cycles}, {number} of Nyquist)",
        "divergence": f"Divergence ({scale}): low band {low}, high band {high}",
        "spoken": f"{number} of the Nyquist frequency, {cycles}: {wave}",
        # Hard bands share nothing, so the second is what the first leaves, when rounded too.
        "shares": [
            [f"{100 * a:.1f}", f"{100 * b if edge == 'soft' else 100 - round(100 * a, 1):.1f}"]
            for a, b in shares
        ],
    }


def _footnote(channels: int, gain: float, band: dict[str, Any], grid: Sequence[int]) -> str:
    text = "Energy: sum of squares without the mean."
    if channels:
        text = f"Energy of all {channels} channels without their means; the pictures show the first"
        text += " three principal components in one basis for both."
    elif gain != 1:
        text += f" The high band is drawn with {gain:g} times its contrast."
    if band["edge"] == "soft":
        lost, _ = band_overlap(band_mask(grid[0], grid[1], **band), transform=band["transform"])
        text += f" Soft edges overlap: at cutoff 0.5 the bands lack {lost:.0%} of white noise's"
        text += " energy."
    return text


def _spectra(maps: list[Tensor], transform: str, grey: bool) -> dict[str, Tensor]:
    """Power (h, w), summed over channels, the mean left out: "energy" (2, h, w) of both maps, and
    for the divergence "apart" of their difference and "whole" of both; if `grey`, those are of the
    pictures' luminance (ITU-R BT.601)."""
    centred = [(x - x.mean((1, 2), keepdim=True)).double() for x in maps]
    for name, x in zip(SIDES, centred, strict=True):
        if not x.any():
            raise UserError(f"The {name} side has one value everywhere: give one with some detail.")
    energy = torch.stack([power_spectrum(x, transform).sum(0) for x in centred])
    if grey:
        centred = [functional.rgb_to_grayscale(x.expand(3, -1, -1)) for x in centred]
    power = [power_spectrum(x, transform).sum(0) for x in (*centred, centred[0] - centred[1])]
    return {"energy": energy, "whole": power[0] + power[1], "apart": power[2]}


def _by_cutoff(
    spectra: dict[str, Tensor], cutoffs: tuple[float, ...], band: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Shares of the energy (cutoffs, modality, band) and divergence (cutoffs, band); a soft band
    weighs a bin's energy by the square of its mask."""
    energy, whole, apart = spectra["energy"], spectra["whole"], spectra["apart"]
    shares, parted = [], []
    for cutoff in cutoffs:
        mask = band_mask(*whole.shape, cutoff=cutoff, **band).double()
        weights = torch.stack([mask.square(), (1 - mask).square()])
        shares.append(torch.einsum("mhw,bhw->mb", energy, weights) / energy.sum((1, 2))[:, None])
        both = (whole * weights).sum((1, 2))
        both[both < 1e-9 * whole.sum()] = torch.nan  # rounding alone
        parted.append((apart * weights).sum((1, 2)) / both)
    return torch.stack(shares), torch.stack(parted)


def _curve(
    spectra: dict[str, Tensor], cutoffs: tuple[float, ...], band: dict[str, Any]
) -> dict[str, Any]:
    """The divergence in rings of what the cutoff cuts, as steps: "x" 0 to 1 along the slider."""
    whole, apart = spectra["whole"], spectra["apart"]
    first, last = cutoffs[0], cutoffs[-1]
    count = max(4, min(32, 2 * min(whole.shape) // 3))
    edges = [last * (i + 1) / count for i in range(count)]
    band = band | {"edge": "hard"}
    inside = [band_mask(*whole.shape, cutoff=edge, **band) for edge in edges]
    x, y, before = [], [], torch.zeros_like(inside[0])
    for i, mask in enumerate(inside):
        ring, before = mask & ~before, mask
        if whole[ring].sum() > 1e-9 * whole.sum():
            share = [(edge - first) / (last - first) for edge in (last * i / count, edges[i])]
            x += [round(max(0.0, s), 4) for s in share]
            y += [round(float(apart[ring].sum() / whole[ring].sum()), 4)] * 2
    return {"x": x, "divergence": y, "top": max(1.15, 1.05 * max(y))}


def _two(given: Any, what: str, shape: str) -> list[Tensor]:
    """Both arrays as tensors; `UserError` for anything but two finite ones of one size."""
    try:
        both = [torch.as_tensor(x).detach().cpu() for x in given]
        sizes = " and ".join(str(tuple(x.shape)) for x in both)
        fit = len(both) == 2 and len({x.shape[1:] for x in both}) == 1
        fit = fit and all(x.ndim == 3 and x.isfinite().all() for x in both)
    except (TypeError, ValueError, RuntimeError) as wrong:
        fit, sizes = False, f"what is no array ({wrong})"
    if not fit:
        raise UserError(
            f"{what} holds {sizes}: give two arrays {shape} of one height and width, RGB and "
            "infrared, all values finite."
        )
    return both


def _check_pair(pair: Any) -> list[Tensor]:
    """Both pictures in [0, 1] and steps of 1/255; a grey one as a single channel."""
    out = []
    for x in _two(pair, "pair", "(3 or 1, H, W)"):
        bytes_ = x.dtype == torch.uint8
        if x.shape[0] not in (1, 3) or not (bytes_ or x.is_floating_point()):
            raise UserError(
                f"A picture of the pair is {x.dtype} {tuple(x.shape)}: "
                "give uint8 or float in [0, 1], (3 or 1, H, W)."
            )
        if x[0].numel() > MAX_PIXELS:
            raise UserError(
                f"The pair has {x.shape[1]}x{x.shape[2]} pixels, too many for a page: load it "
                "with size=(168, 224)."
            )
        if not bytes_ and not -1e-4 <= x.min() <= x.max() <= 1.0001:
            raise UserError("The pair's values leave [0, 1]: scale floats to that range.")
        levels = x if bytes_ else (x * 255).round().clamp(0, 255)
        grey = bool((levels == levels[:1]).all())
        out.append((levels[:1] if grey else levels).double() / 255)
    return out


def _check_features(features: Any) -> list[Tensor]:
    a, b = (x.double() for x in _two(features, "features", "(C, h, w)"))
    if a.shape != b.shape or len(a) < 3:
        raise UserError(
            f"features are {tuple(a.shape)} and {tuple(b.shape)}: give maps of one backbone, with "
            "3 channels or more."
        )
    return [a, b]


def _principal(maps: list[Tensor]) -> list[Tensor]:
    """First three principal components (3, h, w) of both maps in one basis, 0.5 = the map's mean,
    scaled so that 98 % of the scores of each component lie in [0.1, 0.9]. Each map loses its own
    mean first, as in stage 1: else the first component would only tell the modalities apart."""
    tokens = torch.cat([(x - x.mean((1, 2), keepdim=True)).flatten(1) for x in maps], 1)
    _, vectors = torch.linalg.eigh(tokens @ tokens.T)
    basis = vectors[:, -3:].flip(1)
    peak = basis.gather(0, basis.abs().argmax(0, keepdim=True))
    scores = (basis * peak.sign()).T @ tokens  # the sign of a component is free: fix it
    reach = scores.abs().quantile(0.98, 1, keepdim=True).clamp_min(1e-12)
    scores = (0.5 + 0.4 * scores / reach).float()  # what the page gets
    return [x.reshape(3, *maps[0].shape[1:]) for x in scores.chunk(2, 1)]
