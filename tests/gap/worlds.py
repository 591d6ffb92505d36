"""Pairs and networks whose gap is known, for the tests of the study."""

import json

import numpy as np
import torch
from torch import nn

from freqkd_lite import gap
from freqkd_lite.data import Pair, PairSet
from freqkd_lite.features import Backbone
from freqkd_lite.store import digest

GRID = (12, 16)


def noise(*seed, grid=GRID, channels=3):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(channels, *grid))).float()


class Fields(PairSet):
    """Pairs made by a function of the index, (visible, infrared), each (3, h, w)."""

    name, has = "fields", frozenset({"pairs"})

    def __init__(self, make, count, mark="", grid=GRID, times=("",)):
        super().__init__("all", grid, [f"{i:03d}" for i in range(count)])
        self.make, self.mark, self.times, self.read = make, mark, times, []

    def __getitem__(self, index):
        self.read.append(index)
        time = self.times[index % len(self.times)]
        return Pair(self.names[index], *self.make(index), time_of_day=time)

    def fingerprint(self):
        return digest([self.mark, len(self)])


class Pixels(nn.Module):
    """A network whose block k multiplies pixels by k + 1; keeps how much it saw."""

    feature_info = [{"num_chs": 3, "reduction": 1}] * 12
    pretrained_cfg = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.batches = []

    def forward_intermediates(self, images, indices, **about):
        self.batches.append(len(images))
        return [images * (k + 1) * self.scale for k in indices]


def pixels_backbone(checksum="c" * 64):
    """The network whose features are the pixels."""
    return Backbone(Pixels(), "pixels", "made here", checksum).freeze()


def study(pairs, controls=("real", "mismatched"), blocks=(0,), backbone=None, **about):
    """The gap of `pairs`, without a bar."""
    return gap.measure(
        pairs, backbone or pixels_backbone(), blocks, controls, progress=False, **about
    )


def coherent(c):
    """Unrelated fields a, n of one spectrum, mixed to coherence c: b = c a + sqrt(1 - c^2) n, so
    <A B*> / <|A|^2> = c, and energies are equal in expectation."""

    def make(i):
        a, n = noise(i, 0), noise(i, 1)
        return a, c * a + (1 - c * c) ** 0.5 * n

    return make


def rows_of(found, **fields):
    """Rows of `levels` of single blocks."""
    return records(found.levels[found.levels["block"] != "mean"], **fields)


def records(table, **fields):
    """Rows of a table as dicts."""
    rows = table.to_dict("records")
    return [row for row in rows if all(row[k] == v for k, v in fields.items())]


def flat(found):
    """Everything that was measured, as text."""
    return json.dumps(found.json(), sort_keys=True, allow_nan=False)
