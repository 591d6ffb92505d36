"""Which pairs, crops and flips each step sees: all of it follows from the seed."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from freqkd_lite import data
from freqkd_lite.distil.settings import DistilSettings
from freqkd_lite.errors import UserError


class View(NamedTuple):
    """One picture of a batch: which pair, the corner of its crop, and whether it is mirrored."""

    index: int
    top: int
    left: int
    flip: bool


def plan(pairs: data.PairSet, settings: DistilSettings) -> Iterator[list[View]]:
    """The views of each step, the same for every loss: a resumed run finds its place by counting.
    Every pair comes once an epoch, in random order."""
    height, width = settings.crop or pairs.size
    rows, columns = pairs.size[0] - height + 1, pairs.size[1] - width + 1
    if min(rows, columns) < 1:
        raise UserError(f"crop={settings.crop} is larger than size={pairs.size}: make it smaller.")
    draw, listed = (torch.Generator().manual_seed(settings.seed) for _ in range(2))
    corners = torch.rand(len(pairs), settings.crop_list, 2, generator=listed).tolist()
    order: list[int] = []
    for _ in range(settings.steps):
        while len(order) < settings.batch:
            order += torch.randperm(len(pairs), generator=draw).tolist()
        chosen, order = order[: settings.batch], order[settings.batch :]
        views = []
        for index in chosen:
            y, x, flip = torch.rand(3, generator=draw).tolist()
            if settings.crop_list:
                y, x = corners[index][int(y * settings.crop_list)]
            views.append(View(index, int(y * rows), int(x * columns), flip < settings.flip))
        yield views


def infrared_of(pairs: data.PairSet, settings: DistilSettings) -> Sequence[int]:
    """For each pair the one whose infrared picture the student sees."""
    if not settings.mismatched:
        return range(len(pairs))
    return data.mismatched([pairs.part(i) for i in range(len(pairs))], settings.seed)


def load_views(
    pairs: data.PairSet, views: Sequence[View], settings: DistilSettings
) -> tuple[Tensor, Tensor]:
    """A batch (visible, infrared), each (N, 3, H, W), with the same crop and flip of both."""
    partners = infrared_of(pairs, settings)
    height, width = settings.crop or pairs.size
    batch = []
    for index, top, left, flip in views:
        pair, other = pairs[index], partners[index]
        if pair.visible is None:
            raise UserError(f"{pair.name} has no RGB picture: distil on a data set of pairs.")
        infrared = pair.infrared if other == index else pairs[other].infrared
        both = torch.stack([pair.visible, infrared])
        both = both[..., top : top + height, left : left + width]
        batch.append(both.flip(-1) if flip else both)
    visible, infrared = torch.stack(batch, 1)
    return visible, infrared


def batches(pairs: data.PairSet, settings: DistilSettings) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches (visible, infrared) of a run, each (N, 3, H, W), in their order."""
    return (load_views(pairs, views, settings) for views in plan(pairs, settings))


def names_of(pairs: data.PairSet, views: Sequence[View], *settings: DistilSettings) -> str:
    """The names of the pairs whose pictures a batch holds, under each of several settings."""
    seen = [view.index for view in views]
    for each in settings:
        partners = infrared_of(pairs, each)
        seen += [partners[view.index] for view in views]
    return ", ".join(dict.fromkeys(pairs.names[index] for index in seen))
