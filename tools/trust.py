"""How far the tests can be trusted: mutants that they notice, and branches that they take.

    make mutants coverage             # two hours of one core, and half of one
    python -m tools.trust             # results/trust/

A mutant is a copy of the code with one small change (mutmut's); it is killed where a test fails.
Every survivor stands in results/trust/survivors.yaml with the line that it puts in, below the
reason why no test notices; one that does not, or puts in another line, ends the command by name.
"""

import glob
import json
import re
import sys
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import yaml

from freqkd_lite.errors import UserError
from freqkd_lite.results.rows import Row, write_results
from freqkd_lite.results.text import table
from freqkd_lite.store import manifest

OUT = Path("results/trust")
ABOUT = dict(claim="trust", data="freqkd_lite", split="unit tests", seed=None)
ALIVE = (0, 5, 33)  # mutmut's codes: survived, and no test ran it


def outcomes(mutants: Path) -> dict[str, bool]:
    """Whether each mutant was killed, by its name; `UserError` where one has not run."""
    codes = {}
    for file in sorted(mutants.rglob("*.py.meta")):
        codes |= json.loads(file.read_text())["exit_code_by_key"]
    if left := sum(code is None for code in codes.values()):
        raise UserError(f"{left} of {len(codes)} mutants have not run: `make mutants` goes on.")
    return {name: code not in ALIVE for name, code in codes.items()}


def module(name: str) -> str:
    """The module, as a path, of a mutant such as freqkd_lite.losses.base.x_build__mutmut_2."""
    return name.rpartition(".")[0].replace(".", "/") + ".py"


def put_in(name: str) -> str:
    """The line, or lines as one, that a mutant puts in."""
    from mutmut.__main__ import cli  # type: ignore  # of an environment of its own

    with redirect_stdout(StringIO()) as shown:
        cli(["show", name], standalone_mode=False)
    lines = [line for line in shown.getvalue().splitlines() if re.match(r"\+(?!\+\+)", line)]
    return " ".join(line[1:].strip() for line in lines)


def explained(survivors: list[str], reasons: dict[str, dict[str, str]]) -> None:
    """`UserError` that names a survivor without a reason, or with that of another line."""
    known = {f"freqkd_lite.{name}": line for of in reasons.values() for name, line in of.items()}
    for name in survivors:
        if known.get(name) != (line := put_in(name)):
            raise UserError(f"{OUT}/survivors.yaml has no reason for {name}: {line}")


def branches(report: dict) -> dict[str, list[int]]:
    """Branches taken and all, by room, of coverage's JSON report."""
    found: dict[str, list[int]] = {}
    for file, each in report["files"].items():
        room = Path(file).parts[1].removesuffix(".py")
        own = found.setdefault(room, [0, 0])
        own[0] += each["summary"]["covered_branches"]
        own[1] += each["summary"]["num_branches"]
    return {room: counts for room, counts in sorted(found.items()) if counts[1]}


def main() -> None:
    killed = outcomes(Path("mutants"))
    reasons = yaml.safe_load((OUT / "survivors.yaml").read_text())
    explained([name for name, dead in killed.items() if not dead], reasons)
    total, dead = Counter(map(module, killed)), Counter(module(k) for k in killed if killed[k])
    found = {"mutants_killed": {k: [dead[k], n] for k, n in total.items()}}
    found["branch_coverage"] = branches(json.loads(Path("coverage.json").read_text()))
    rows, lines = [], []
    for metric, parts in found.items():
        parts = {"all": [sum(counts) for counts in zip(*parts.values(), strict=True)]} | parts
        for place, (count, n) in parts.items():
            own = dict(metric=metric, method=place, klass="mean", n=n, value=count / n)
            rows.append(Row(**own, **ABOUT))
            lines.append((metric, place, f"{count} of {n}", f"{count / n:.1%}"))
    print(table(("metric", "of", "count", "share"), lines))
    write_results(OUT, rows, manifest(command="python -m tools.trust", metric="mutants_killed"))


if __name__ == "__main__":
    sys.path += glob.glob(".venv/mutmut/lib/*/site-packages")
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
