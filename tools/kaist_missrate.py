"""Log-average miss rate of detections on KAIST's test images (Reasonable set), all, day and night.

    python tools/kaist_missrate.py DIR                          # the published ones: results/kaist/
    python tools/kaist_missrate.py DIR --detections MINE.txt    # yours, printed

DIR is `kaist_eval`, or another folder with KAIST_annotation.json and results/NAME_result.txt as
github.com/sejong-rcv/MLPD-Multi-Label-Pedestrian-Detection publishes them: lines of image (from 1),
x, y, width, height, score. No images are needed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from freqkd_lite.errors import UserError
from freqkd_lite.evaluate.missrate import DAY, outside_reasonable_subset, rank, score_people
from freqkd_lite.results.rows import Row, write_results
from freqkd_lite.results.text import number
from freqkd_lite.store import manifest, parsed, sha256_file

ANNOTATIONS = "KAIST_annotation.json"
PUBLISHED = {
    "MLPD": (7.58, 7.95, 6.95),
    "MBNet": (8.13, 8.28, 7.86),
    "MSDS-RCNN": (11.34, 10.53, 12.94),
}
"""Their published miss rates in percent: all, day and night."""


def read_people(path: Path) -> tuple[list[torch.Tensor], list[torch.Tensor], list[int]]:
    """Of each test image the boxes (n,4) XYXY px and which are ignored (n,), and the number of the
    video that it is from."""
    content = parsed(path)
    try:
        names = [image["im_name"] for image in content["images"]]
        rows = [[] for _ in names]
        for entry in content["annotations"]:
            x, y, w, h = entry["bbox"]
            aside = entry["ignore"] or entry["category_id"] != 1  # 1 is person
            rows[entry["image_id"]].append((x, y, x + w, y + h, entry["occlusion"], aside))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} is not as KAIST's test annotations are ({error!r}).") from error
    tables = [torch.tensor(row, dtype=torch.float64).reshape(-1, 6) for row in rows]
    ignored = [outside_reasonable_subset(t[:, :4], t[:, 4]) | t[:, 5].bool() for t in tables]
    videos = [name.rpartition("/")[0] for name in names]
    return [t[:, :4] for t in tables], ignored, [sorted(set(videos)).index(v) for v in videos]


def read_detections(path: Path, images: int) -> list[dict[str, torch.Tensor]]:
    """The detections of each image; none for one that the file leaves out."""
    try:
        table = np.loadtxt(path, delimiter=",", ndmin=2).reshape(-1, 6)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read ({error}): give image,x,y,w,h,score.") from error
    image, numbers = table[:, 0], torch.from_numpy(table[:, 1:])
    if not np.isin(image, np.arange(1, images + 1)).all() or (numbers[:, 2:4] <= 0).any():
        raise UserError(f"{path}: images are numbered 1 to {images}, and boxes have an area.")
    numbers[:, 2:4] += numbers[:, :2]
    chosen = (numbers[image == i + 1] for i in range(images))
    return [{"boxes": part[:, :4], "scores": part[:, 4]} for part in chosen]


def score(folder: Path, file: Path, draws: int = 1000):
    """`Resampled` of one file of detections; whole videos are resampled."""
    boxes, ignored, videos = read_people(folder / ANNOTATIONS)
    found = rank(read_detections(file, len(boxes)), boxes, ignored)
    return score_people(found, np.arange(len(boxes)) >= DAY, draws, groups=videos)


def rows_of(method: str, found, published: tuple[float, ...] = ()) -> list[Row]:
    """Miss rates in percent, and how far each rounded one is from the published figure."""
    about = dict(claim="kaist", method=method, seed=None, data="kaist", split="test")
    rows = []
    for place, (klass, value) in enumerate(found.estimates.items()):
        span = tuple(100 * end for end in found.interval[klass])
        ours = about | {"klass": klass, "n": len(found.truth)}
        rows.append(Row(metric="miss_rate", value=100 * value, interval=span, **ours))
        if published:
            off = round(round(100 * value, 2) - published[place], 2)
            rows.append(Row(metric="miss_rate_minus_published", value=off, **ours))
    return rows


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--detections", type=Path, help="a file of your own")
    parser.add_argument("--out", type=Path, default=Path("results/kaist"))
    args = parser.parse_args(given)
    files = {n: args.folder / "results" / f"{n}_result.txt" for n in PUBLISHED}
    if args.detections:
        files = {args.detections.stem: args.detections}
    rows = []
    for method, file in files.items():
        rows += rows_of(method, score(args.folder, file), PUBLISHED.get(method, ()))
    for row in (row for row in rows if row.metric == "miss_rate"):
        print(f"{row.method:12}{row.klass:6}{number(row.value, row.interval, 2)} %")
    if not args.detections:
        sums = {n: sha256_file(file) for n, file in files.items()}
        sums[ANNOTATIONS] = sha256_file(args.folder / ANNOTATIONS)
        command = "python tools/kaist_missrate.py DIR"
        note = "Intervals: bootstrap over whole videos (16), so rather too narrow."
        write_results(args.out, rows, manifest(command=command, data=sums, note=note))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
