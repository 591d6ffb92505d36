"""Click a patch: where does the other modality look alike, before and after distillation?

Two controls: the patch, by click, drag or arrow keys, and whether RGB or infrared is asked from.
Three panels: the picture that is asked from, and the other one twice, lit where its patches
resemble the asked one to a network, undistilled and distilled.
"""

import numpy as np
import torch
import traitlets
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from freqkd_lite.data import Pair
from freqkd_lite.errors import UserError
from freqkd_lite.viz.style import COLOURS, SIDES
from freqkd_lite.widgets import drawing
from freqkd_lite.widgets.drawing import write
from freqkd_lite.widgets.embed import PageWidget, joined, module, name_and_pictures

LIMIT = 300_000  # bytes of vectors in a page; channels are reduced where they would take more
GLOW, DIM = (230, 159, 0), 0.5
STATES = ("undistilled", "distilled")


class PatchSimilarity(PageWidget):
    """The patches of one pair, compared before and after distillation.

    teacher: the teacher's map (C, h, w) of the RGB picture; before, after: maps of the infrared
    one, by the same network undistilled and by its student; names: what these two are called.
    patch: (row, column) to start with, the middle if None. Similarity is the cosine of two patches'
    features, each map's mean patch subtracted: it would make all patches alike. `UserError` for
    what doesn't fit.

    `patch` (row * columns + column) and `from_infrared` follow the reader, can be set and observed.
    `at_same_place`: the share of all patches of RGB whose most similar one of infrared lies at the
    same place, undistilled and distilled.
    """

    _esm = module("patch")
    vectors = traitlets.Bytes().tag(sync=True)
    jpegs = traitlets.Bytes().tag(sync=True)
    patch = traitlets.Int().tag(sync=True)
    from_infrared = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self,
        pair: Pair,
        teacher: Tensor,
        before: Tensor,
        after: Tensor,
        patch: tuple[int, int] | None = None,
        names: tuple[str, str] = STATES,
    ):
        maps = [torch.as_tensor(x).detach().cpu().double() for x in (teacher, before, after)]
        if len({tuple(x.shape) for x in maps}) != 1 or maps[0].ndim != 3:
            shapes = ", ".join(str(tuple(x.shape)) for x in maps)
            raise UserError(f"The maps are {shapes}: give three (C, h, w) of one network and size.")
        _, rows, columns = maps[0].shape
        about, both = name_and_pictures(pair)
        height, width = both[1].shape[-2:]
        if height % rows or width % columns or height // rows != width // columns:
            raise UserError(
                f"The pair has {height}x{width} pixels, which {rows}x{columns} square patches "
                "don't divide: give the pictures that the maps were made of."
            )
        row, column = patch or (rows // 2, columns // 2)
        if not (0 <= row < rows and 0 <= column < columns):
            raise UserError(f"patch={patch} lies outside the {rows}x{columns} patches.")
        self.grid, self.count = (rows, columns), rows * columns
        self.units = [_unit(x) for x in maps]
        self.pictures = [to_pil_image((x * 255).round().clamp(0, 255).byte()) for x in both]
        sent, error = _reduce(self.units, LIMIT // (6 * self.count))
        jpegs, cuts = joined(self.pictures)
        nearest = [(self.units[0] @ x.T).argmax(1) for x in self.units[1:]]
        places = torch.arange(self.count)
        self.at_same_place = [float(x.eq(places).double().mean()) for x in nearest]
        footnote = (
            "The frame is the same place in all panels. Of all patches of RGB, the most similar "
            f"one of infrared is at the same place for {self.at_same_place[0]:.0%} ({names[0]}) "
            f"and {self.at_same_place[1]:.0%} ({names[1]}; by chance {1 / self.count:.1%})."
        )
        if error > 0.001:
            dimensions = f"{sent[0].shape[1]} of {len(maps[0])}"
            footnote += f" Shown in {dimensions} dimensions: errors up to {error:.2f}."
        ways = (("RGB", "Infrared"), ("Infrared", "RGB"))
        spec = {
            "title": "Click a patch: its similarity in the other modality",
            "size": [height, width],
            "grid": self.grid,
            "cell": width // columns,
            "count": self.count,
            "width": sent[0].shape[1],
            "colours": [COLOURS["visible"], COLOURS["none"], COLOURS["freqkd_code"]],
            "glow": ", ".join(map(str, GLOW)),
            "dim": DIM,
            "names": tuple(names),
            "titles": [[f"{a}: click a patch", *(f"{b}, {n}" for n in names)] for a, b in ways],
            "question": [
                f"Which patches of {b} resemble the framed one of {a}?"
                for a, b in (SIDES, SIDES[::-1])
            ],
            "same": "Same place: cosine",
            "footnote": footnote,
            "cuts": cuts,
            "about": about,
        }
        vectors = torch.stack(sent).mul(32767).round().short().numpy().astype("<i2").tobytes()
        super().__init__(spec=spec, vectors=vectors, jpegs=jpegs, patch=row * columns + column)

    @traitlets.validate("patch")
    def _known_patch(self, proposal: dict) -> int:
        if not 0 <= proposal["value"] < self.count:
            raise UserError(f"patch={proposal['value']} lies outside: give 0 to {self.count - 1}.")
        return proposal["value"]

    def similarity(self, patch: int, from_infrared: bool = False) -> np.ndarray:
        """Cosine (2, h, w) of a patch to each of the other modality, undistilled and distilled."""
        teacher, *students = self.units
        maps = [teacher @ x[patch] if from_infrared else x @ teacher[patch] for x in students]
        return torch.stack(maps).reshape(2, *self.grid).numpy()

    def panels(self, patch: int, from_infrared: bool = False) -> list[np.ndarray]:
        """The three pictures without their frames: uint8 (H, W, 3)."""
        asked, other = (np.asarray(p) for p in self.pictures[:: -1 if from_infrared else 1])
        cell = self.spec["cell"]
        light = self.similarity(patch, from_infrared).clip(0, 1).repeat(cell, 1).repeat(cell, 2)
        lit = DIM * other + light[..., None] * np.array(GLOW)
        return [asked, *lit.round().clip(0, 255).astype("uint8")]

    def captions(self, patch: int, from_infrared: bool = False) -> list[str]:
        """The captions of both maps."""
        maps = self.similarity(patch, from_infrared).reshape(2, -1)
        ranks = [int((x >= x[patch]).sum()) for x in maps]
        return [
            f"{self.spec['same']} {x[patch]:.2f}, rank {rank} of {self.count}"
            for x, rank in zip(maps, ranks, strict=True)
        ]

    def states(self) -> list[tuple[int, bool]]:
        """The current patch, and two others."""
        rows, columns = self.grid
        others = [(rows // 4) * columns + columns // 4, (3 * rows // 4) * columns + columns // 3]
        return [(patch, self.from_infrared) for patch in dict.fromkeys([self.patch, *others])]

    def alt_text(self) -> str:
        rows = []
        for patch, side in self.states():
            row, column = divmod(patch, self.grid[1])
            both = zip(self.spec["names"], self.captions(patch, side), strict=True)
            numbers = ", ".join(f"{name} {caption.split(': ')[1]}" for name, caption in both)
            rows.append(f"row {row + 1}, column {column + 1}: {numbers}")
        question = self.spec["question"][self.from_infrared]
        return f"{self.spec['about']}. {question} Same place, {'; '.join(rows)}."

    def card(self, patch: int, from_infrared: bool = False) -> Image.Image:
        """One patch asked about, drawn as a picture."""
        w, cell = 240, self.spec["cell"]
        h = round(w * self.grid[0] / self.grid[1])
        card, draw = drawing.canvas(3 * w + 48, h + 52)
        captions = ["", *self.captions(patch, from_infrared)]
        row, column = divmod(patch, self.grid[1])
        edge = w / self.grid[1]
        pictures = map(Image.fromarray, self.panels(patch, from_infrared))
        titles = self.spec["titles"][from_infrared]
        lefts = drawing.panels(card, 4, pictures, titles, self.spec["colours"], (w, h))
        for x, caption in zip(lefts, captions, strict=True):
            left, top = x + column * edge, 28 + row * edge
            right, bottom = left + edge - 1, top + edge - 1
            width = max(2, round(4 * edge / cell))
            draw.rectangle((left, top, right, bottom), outline="#000000", width=width)
            draw.rectangle((left + 1, top + 1, right - 1, bottom - 1), outline="#ffffff", width=1)
            write(draw, x, h + 32, caption, 12)
        return card


def _unit(x: Tensor) -> Tensor:
    """(patches, C) of length 1 from a map (C, h, w), the mean patch subtracted."""
    tokens = (x - x.mean((1, 2), keepdim=True)).flatten(1).T
    return tokens / tokens.norm(dim=1, keepdim=True).clamp_min(1e-12)


def _reduce(units: list[Tensor], most: int) -> tuple[list[Tensor], float]:
    """The unit vectors in at most `most` dimensions, those of the largest singular values of all
    maps together, of length 1 again; and the largest error of a cosine between two maps."""
    width = units[0].shape[1]
    if width <= most:
        return units, 0.0
    _, vectors = torch.linalg.eigh(sum(x.T @ x for x in units))
    sent = [x @ vectors[:, -most:] for x in units]
    sent = [x / x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in sent]
    off = [(sent[0] @ sent[i].T - units[0] @ units[i].T).abs().max() for i in (1, 2)]
    return sent, float(max(off))
