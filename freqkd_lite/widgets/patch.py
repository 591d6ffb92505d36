"""Click a patch: where does the other modality look alike, before and after distillation?

Two controls: the patch, by click, drag or arrow keys, and whether RGB or infrared is asked from.
Three panels: the picture that is asked from, and the other one, glowing where its patches resemble
the asked one to a network, undistilled and distilled.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import torch
import traitlets
from PIL import Image
from torch import Tensor

from freqkd_lite.data import Pair
from freqkd_lite.errors import UserError
from freqkd_lite.viz.style import COLOURS
from freqkd_lite.widgets import drawing
from freqkd_lite.widgets.drawing import write
from freqkd_lite.widgets.embed import PageWidget, encode, module
from freqkd_lite.widgets.fader import NAMES

LIMIT = 300_000  # bytes of vectors in a page; channels are reduced where they would take more
GLOW, DIM = (230, 159, 0), 0.5
STATES = ("undistilled", "distilled")


def patch_similarity(
    pair: Pair,
    teacher: Tensor,
    before: Tensor,
    after: Tensor,
    patch: tuple[int, int] | None = None,
    from_infrared: bool = False,
    names: tuple[str, str] = STATES,
) -> PatchSimilarity:
    """A `PatchSimilarity` of one pair.

    teacher: the teacher's map (C, h, w) of the RGB picture; before, after: maps of the infrared
    one, by the same network undistilled and by its student; names: what these two are called.
    patch: (row, column) to start with, the middle if None. Similarity is the cosine of two patches'
    features, each map's mean patch taken off first: it would make all patches alike. `UserError`
    for what doesn't fit.
    """
    maps = [torch.as_tensor(x).detach().cpu().double() for x in (teacher, before, after)]
    shapes = {tuple(x.shape) for x in maps}
    if len(shapes) != 1 or maps[0].ndim != 3:
        told = ", ".join(str(tuple(x.shape)) for x in maps)
        raise UserError(f"The maps are {told}: give three (C, h, w) of one network and size.")
    _, rows, columns = maps[0].shape
    height, width = pair.infrared.shape[-2:]
    if height % rows or width % columns or height // rows != width // columns:
        raise UserError(
            f"The pair has {height}x{width} pixels, which {rows}x{columns} square patches don't "
            "divide: give the pictures that the maps were made of."
        )
    row, column = patch or (rows // 2, columns // 2)
    if not (0 <= row < rows and 0 <= column < columns):
        raise UserError(f"patch={patch} lies outside the {rows}x{columns} patches.")
    return PatchSimilarity(pair, maps, row * columns + column, from_infrared, tuple(names))


class PatchSimilarity(PageWidget):
    """What `patch_similarity` returns. `patch` (row * columns + column) and `from_infrared` follow
    the reader, can be set and be observed; `first` holds for which share of all patches the most
    similar one is that at the same place, undistilled and distilled, asked from RGB."""

    _esm = module("patch")
    _page = ("_spec", "_vectors", "_pictures", "patch", "from_infrared")
    _spec = traitlets.Dict().tag(sync=True)
    _vectors = traitlets.Bytes().tag(sync=True)
    _pictures = traitlets.Bytes().tag(sync=True)
    patch = traitlets.Int().tag(sync=True)
    from_infrared = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        pair: Pair,
        maps: list[Tensor],
        patch: int,
        from_infrared: bool,
        names: tuple[str, str],
    ):
        self.grid = tuple(maps[0].shape[1:])
        self.count = self.grid[0] * self.grid[1]
        self._units = [_unit(x) for x in maps]
        self.pictures = [
            Image.fromarray((x.permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy())
            for x in (pair.visible, pair.infrared)
        ]
        sent, lost = _reduce(self._units, LIMIT // (6 * self.count))
        jpegs = [encode(picture, "JPEG", quality=85) for picture in self.pictures]
        places = torch.arange(self.count)
        self.first = [
            float((self._units[0] @ x.T).argmax(1).eq(places).double().mean())
            for x in self._units[1:]
        ]
        reduced = (
            f" Sent in {sent[0].shape[1]} of {len(maps[0])} dimensions: off by {lost:.2f} at most."
            if lost > 0.001
            else ""
        )
        spec = {
            "title": "Click a patch: its similarity in the other modality",
            "size": list(pair.infrared.shape[-2:]),
            "grid": self.grid,
            "cell": pair.infrared.shape[-1] // self.grid[1],
            "count": self.count,
            "width": sent[0].shape[1],
            "colours": [COLOURS["visible"], COLOURS["none"], COLOURS["code"]],
            "glow": ", ".join(map(str, GLOW)),
            "dim": DIM,
            "names": names,
            "titles": [
                [f"{a}: click a patch", *(f"{b}, {state}" for state in names)]
                for a, b in (("RGB", "Infrared"), ("Infrared", "RGB"))
            ],
            "question": [
                f"Which patches of {b} resemble the framed one of {a}?"
                for a, b in (NAMES, NAMES[::-1])
            ],
            "same": "Same place: cosine",
            "swap_label": "Ask from infrared",
            "legend": ["cosine 0 or less", "1"],
            "footnote": "The frame is the same place in all panels. Over all patches of RGB, the "
            f"most similar one of infrared lies at the same place for {self.first[0]:.0%} "
            f"({names[0]}) and {self.first[1]:.0%} ({names[1]}; by chance {1 / self.count:.1%}). "
            f"Each map's mean patch is taken off first.{reduced}",
            "cuts": [0, *accumulate(map(len, jpegs))],
            "about": f"{pair.name}{f' ({pair.time_of_day})' if pair.time_of_day else ''}",
        }
        vectors = torch.stack(sent).mul(32767).round().short().numpy().astype("<i2").tobytes()
        super().__init__(_spec=spec, _vectors=vectors, _pictures=b"".join(jpegs), patch=patch,
                         from_infrared=from_infrared)  # fmt: skip

    @traitlets.validate("patch")
    def _known_patch(self, proposal: dict) -> int:
        if not 0 <= proposal["value"] < self.count:
            raise UserError(f"patch={proposal['value']} lies outside: give 0 to {self.count - 1}.")
        return proposal["value"]

    def similarity(self, patch: int, from_infrared: bool = False) -> np.ndarray:
        """Cosine (2, h, w) of a patch to each of the other modality, undistilled and distilled."""
        teacher, *students = self._units
        maps = [teacher @ x[patch] if from_infrared else x @ teacher[patch] for x in students]
        return torch.stack(maps).reshape(2, *self.grid).numpy()

    def panels(self, patch: int, from_infrared: bool = False) -> list[np.ndarray]:
        """The three pictures without their frames: uint8 (H, W, 3)."""
        asked, other = (np.asarray(p) for p in self.pictures[:: -1 if from_infrared else 1])
        cell = self._spec["cell"]
        glows = self.similarity(patch, from_infrared).clip(0, 1)
        glows = glows.repeat(cell, 1).repeat(cell, 2)[..., None] * np.array(GLOW)
        return [asked, *((DIM * other + glow).round().clip(0, 255).astype("uint8")
                         for glow in glows)]  # fmt: skip

    def said(self, patch: int, from_infrared: bool = False) -> list[str]:
        """What stands under both maps."""
        maps = self.similarity(patch, from_infrared).reshape(2, -1)
        return [
            f"{self._spec['same']} {x[patch]:.2f}, rank {int((x >= x[patch]).sum())} "
            f"of {self.count}"
            for x in maps
        ]

    def alt_text(self) -> str:
        """What the filmstrip shows, in words."""
        names, rows = self._spec["names"], []
        for patch in self._strip():
            row, column = divmod(patch, self.grid[1])
            said = zip(names, self.said(patch, self.from_infrared), strict=True)
            told = ", ".join(f"{name} {words[:1].lower()}{words[1:]}" for name, words in said)
            rows.append(f"row {row + 1}, column {column + 1}, {told}")
        question = self._spec["question"][self.from_infrared]
        return f"{self._spec['about']}. {question} Asked at {'; '.join(rows)}."

    def _strip(self) -> list[int]:
        rows, columns = self.grid
        others = [(rows // 4) * columns + columns // 4, (3 * rows // 4) * columns + columns // 3]
        return list(dict.fromkeys([self.patch, *others]))

    def filmstrip(self) -> Image.Image:
        """Three patches, one below the other."""
        cards = [self.card(patch, self.from_infrared) for patch in self._strip()]
        strip, _ = drawing.canvas(cards[0].width, sum(card.height for card in cards))
        for i, card in enumerate(cards):
            strip.paste(card, (0, i * cards[0].height))
        return strip

    def card(self, patch: int, from_infrared: bool = False) -> Image.Image:
        """One patch asked about, drawn as a picture."""
        w, cell = 240, self._spec["cell"]
        h = round(w * self.grid[0] / self.grid[1])
        card, draw = drawing.canvas(3 * w + 48, h + 52)
        captions = ["", *self.said(patch, from_infrared)]
        row, column = divmod(patch, self.grid[1])
        for i, pixels in enumerate(self.panels(patch, from_infrared)):
            x = 8 + i * (w + 16)
            title = self._spec["titles"][from_infrared][i]
            drawing.titled(draw, x, 4, title, self._spec["colours"][i])
            size = (w, h)
            card.paste(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS), (x, 28))
            edge = w / self.grid[1]
            corner = (x + column * edge, 28 + row * edge)
            frame = (*corner, corner[0] + edge - 1, corner[1] + edge - 1)
            draw.rectangle(frame, outline="#000000", width=max(2, round(4 * edge / cell)))
            draw.rectangle([frame[0] + 1, frame[1] + 1, frame[2] - 1, frame[3] - 1],
                           outline="#ffffff", width=1)  # fmt: skip
            write(draw, x, h + 32, captions[i], 12)
        return card


def _unit(x: Tensor) -> Tensor:
    """(patches, C) of length 1 from a map (C, h, w), the mean patch taken off."""
    tokens = (x - x.mean((1, 2), keepdim=True)).flatten(1).T
    return tokens / tokens.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _reduce(units: list[Tensor], most: int) -> tuple[list[Tensor], float]:
    """The unit vectors in at most so many dimensions, those of the largest singular values of all
    maps together, of length 1 again; and the largest error of a cosine between two maps."""
    width = units[0].shape[1]
    if width <= most:
        return units, 0.0
    _, vectors = torch.linalg.eigh(sum(x.T @ x for x in units))
    sent = [x @ vectors[:, -most:] for x in units]
    sent = [x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in sent]
    off = [(sent[0] @ sent[i].T - units[0] @ units[i].T).abs().max() for i in (1, 2)]
    return sent, float(max(off))
