"""Each loss by itself, forward and backward, beside plain normalised MSE."""

from collections.abc import Sequence

import torch

from benchmarks.common import backward, by_turns, calibrated, finish, parser, ratio
from freqkd_lite.losses import LOSSES, needs_anchors

SHAPES = ((8, 384, 10, 12), (8, 1024, 37, 46))


def measure(
    names: Sequence[str], shapes: Sequence[Sequence[int]], rounds: int, device: str = "cpu"
) -> list[list]:
    """A row [maps, loss, ms, times MSE] for each shape (N, C, h, w) and loss."""
    rows = []
    for shape in shapes:
        draw = torch.Generator().manual_seed(0)
        student, teacher = (torch.randn(*shape, generator=draw).to(device) for _ in range(2))
        teacher = teacher + 0.5 * student
        maps = [student.clone().requires_grad_()]
        takes = {}
        for name in dict.fromkeys(["mse", *names]):
            loss = calibrated(name, [student], [teacher])
            anchors = [[student]] if needs_anchors(name) else []
            takes[name] = backward(
                lambda s, t, loss=loss, anchors=anchors: loss(s, t, *anchors).total, maps, [teacher]
            )
        seconds = by_turns(takes, rounds)
        for name, found in seconds.items():
            of_mse = ratio(found, seconds["mse"])
            size = "x".join(map(str, shape))
            rows.append([size, name, f"{1e3 * min(found):.1f}", f"{of_mse:.2f}"])
    return rows


def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--losses", nargs="*", default=sorted(LOSSES), metavar="NAME")
    given = options.parse_args()
    rows = measure(given.losses, SHAPES, given.rounds, given.device)
    finish(given, "Losses", __doc__, ["maps", "loss", "ms", "times MSE"], rows)


if __name__ == "__main__":
    main()
