"""Times that can be compared: what is compared takes turns, in orders that change."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice, permutations
from statistics import median
from time import perf_counter
from typing import TypeVar

import numpy as np
import torch

Value = TypeVar("Value")


def take_turns(
    steps: Mapping[str, Callable[[], Value]], rounds: int, device: str | torch.device = "cpu"
) -> tuple[dict[str, Value], dict[str, list[float]]]:
    """What each step returned last, and its seconds in each round; one round more warms up.

    Seconds are those of a clock on the wall, for a process' own count what its threads wait for
    each other. Orders change, so that none always finds the memory that the same one left.
    """
    device = torch.device(device)
    values: dict[str, Value] = {}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for order in islice(_orders(list(steps)), rounds + 1):
        for name in order:
            wait(device)
            start = perf_counter()
            values[name] = steps[name]()
            wait(device)
            seconds[name].append(perf_counter() - start)
    return values, {name: taken[1:] for name, taken in seconds.items()}


def _orders(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """All orders of a few, shuffled, before one comes again; random ones of many."""
    draw = random.Random(0)
    if len(names) > 3:
        while True:
            yield draw.sample(names, len(names))
    every = list(permutations(names))
    while True:
        yield from draw.sample(every, len(every))


def ratio(seconds: Sequence[float], base: Sequence[float]) -> float:
    """The median over rounds of what a step took over what `base` took in the same round."""
    return median(_ratios(seconds, base))


def quartiles(seconds: Sequence[float], base: Sequence[float]) -> list[float]:
    """[first, third] over rounds of the ratios of which `ratio` is the median: how far they
    spread. Between two rounds they are interpolated, as NumPy does."""
    return np.quantile(_ratios(seconds, base), (0.25, 0.75)).tolist()


def _ratios(seconds: Sequence[float], base: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(seconds, base, strict=True)]


def wait(device: torch.device) -> None:
    """Until the device has done what it was given; a GPU computes while Python goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
