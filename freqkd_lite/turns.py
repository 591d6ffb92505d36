"""Times that can be compared: what is compared takes turns, in an order drawn anew each round."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import TypeVar

import torch

from freqkd_lite.precision import wait

Value = TypeVar("Value")


def take_turns(
    steps: Mapping[str, Callable[[], Value]], rounds: int, device: str | torch.device = "cpu"
) -> tuple[dict[str, Value], dict[str, list[float]]]:
    """What each step returned last, and its seconds in each round; one round more warms up.

    Seconds are those of a clock on the wall, for a process' own count what its threads wait for
    each other. The order is drawn so that none always finds the memory that the same one left.
    """
    device = torch.device(device)
    values: dict[str, Value] = {}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name in random.Random(turn).sample(list(steps), len(steps)):
            wait(device)
            start = perf_counter()
            values[name] = steps[name]()
            wait(device)
            seconds[name].append(perf_counter() - start)
    return values, {name: taken[1:] for name, taken in seconds.items()}


def ratio(seconds: Sequence[float], base: Sequence[float]) -> float:
    """The median over rounds of what a step took over what `base` took in the same round."""
    return median(one / other for one, other in zip(seconds, base, strict=True))
