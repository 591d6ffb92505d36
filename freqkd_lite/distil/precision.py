"""Which precision a run's networks compute in, and how `auto` finds the faster one."""

from __future__ import annotations

import time
from statistics import median

import torch
from torch import Tensor, nn

GAIN = 1.1  # how many times as fast bfloat16 must be to be worth its rounding
HOPELESS = 4.0  # from here on one measurement is enough: bfloat16 may be 40 times slower


def autocast(device: torch.device, used: str) -> torch.autocast:
    """Networks inside compute in bfloat16 where `used` is "bf16"; weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=used == "bf16")


def measure(
    student: nn.Module, images: Tensor, grids: list[tuple[int, int]], rounds: int = 3
) -> dict:
    """{"used": the faster one, "seconds": of a forward and backward pass in each}.

    Both precisions take turns on `images` (N, 3, H, W) in eval mode, so neither batch statistics
    nor random numbers move; medians of `rounds` after one to warm up.
    """
    training = student.training
    student.eval()
    seconds: dict[str, list[float]] = {"fp32": [], "bf16": []}
    for _ in range(1 + rounds):
        for used, taken in seconds.items():
            taken.append(_seconds(used, student, images, grids))
        if seconds["bf16"][0] > HOPELESS * seconds["fp32"][0]:
            break
    student.train(training)
    found = {used: median(taken[1:] or taken) for used, taken in seconds.items()}
    faster = found["fp32"] > GAIN * found["bf16"]
    return {"used": "bf16" if faster else "fp32", "seconds": found}


def _seconds(used: str, student: nn.Module, images: Tensor, grids: list[tuple[int, int]]) -> float:
    wait(images.device)
    start = time.perf_counter()
    with autocast(images.device, used):
        maps = student(images, grids)
    sum(m.float().square().mean() for m in maps).backward()
    wait(images.device)
    taken = time.perf_counter() - start
    student.zero_grad(set_to_none=True)
    return taken


def wait(device: torch.device) -> None:
    """Until the device has done what it was given; a GPU computes while Python goes on."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
