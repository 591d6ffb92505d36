"""What each of several processes under `accelerate launch` does in `test_loop`: distils noise.

Arguments: the folder of the runs, and a JSON list of settings. Each process writes what came of
each, to said-RANK.json in that folder.
"""

import json
import os
import sys
from pathlib import Path

from freqkd_lite import data
from freqkd_lite.distil import distil, settings_from, train
from freqkd_lite.errors import Interrupted, UserError
from tests.survivor import Noise

LEARNING_RATE = train.learning_rate


def interrupted(step: int):
    """A schedule that is stopped by Ctrl-C at `step`, in every process."""

    def stop(now, *of):
        if now == step:
            raise KeyboardInterrupt
        return LEARNING_RATE(now, *of)

    return stop


def main(folder: Path, jobs: list[dict]) -> None:
    data.REGISTRY["noise"] = Noise
    said = []
    for job in jobs:
        stop, place = job.pop("stop", -1), job.pop("folder")
        train.learning_rate = interrupted(stop)
        try:
            said.append(distil(settings_from(**job), folder / place, False).folder)
        except (UserError, Interrupted) as error:
            said.append(f"{type(error).__name__}: {error}")
    rank = os.environ["RANK"]
    (folder / f"said-{rank}.json").write_text(json.dumps(list(map(str, said))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
