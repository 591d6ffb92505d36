"""The exercises: their own solutions pass, and typical wrong attempts are told what is wrong."""

import json
import linecache
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "exercises"
sys.path.insert(0, str(FOLDER))

import attempts  # noqa: E402
import checkers  # noqa: E402, F401

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SETUP = """
import math, random
import torch
from torch.nn.functional import avg_pool2d, mse_loss, pad
from freqkd_lite.spectrum import band_divergence, band_mask, split_bands
"""
SPLIT = "    fy, fx = (torch.fft.fftfreq(n).abs() for n in x.shape[-2:])\n"
SPLIT += "    mask = (fy[:, None] {} {}) & (fx <= cutoff / 2)\n"
SPLIT += "    return torch.fft.ifft2(torch.fft.fft2(x) * mask).real"
LOW = SPLIT.format("<=", "cutoff / 2")
BOX = """    h, w = x.shape[-2:]
    mask = torch.zeros(h, w)
    y, z = max(1, int(h * cutoff / 2)), max(1, int(w * cutoff / 2))
    mask[h // 2 - y : h // 2 + y, w // 2 - z : w // 2 + z] = 1
"""
HALF = """    half, w = torch.fft.rfft2(x, norm="ortho"), x.shape[-1]
    times = torch.full((w // 2 + 1,), 2.0)
    times[0] = 1
    if w % 2 == 0:
        times[-1] = 1
    return ((half.abs() ** 2) * times * mask[:, : w // 2 + 1]).sum((1, 2, 3))"""
SUMS = """    A, B = (torch.fft.fft2(x)[..., ring] for x in (a, b))
    return ((A - B).abs() ** 2).sum() / ((A.abs() ** 2).sum() + (B.abs() ** 2).sum())"""
RHO = """    fy, fx = (torch.fft.fftfreq(n) for n in (h, w))
    return torch.hypot(fy[:, None], fx) / 0.5"""
MOVE = """    for p in range(1, 15):
        left = images[..., :-14]
        right = images[..., p : p + left.shape[-1]]
        if band_divergence(features(left), features(right))[1] >= target:
            return p"""
HEAD = """    std, mean = torch.std_mean(rgb, (0, 2, 3), correction=0, keepdim=True)
    x = (infrared - mean) / std
    return torch.einsum("kc,nchw->nkhw", weight, x) + bias[:, None, None]"""
BOOT = """    g = torch.Generator().manual_seed(seed)
    streets = {int(s): (street == s).nonzero()[:, 0] for s in street}
    names, found = list(streets), []
    for _ in range(1000):
        chosen = torch.randint(len(names), (len(names),), generator=g)
        i = torch.cat([streets[names[k]] for k in chosen])
        found.append(a[i].mean() - b[i].mean())
    return tuple(torch.stack(found).quantile(torch.tensor([0.025, 0.975])).tolist())"""
APART = re.sub(r"    streets.*?found = .*?\n", "    found = []\n", BOOT, flags=re.S).replace(
    "chosen = torch.randint(len(names), (len(names),), generator=g)", ""
)
COHERENCE = """    A, B = torch.fft.fft2(a), torch.fft.fft2(b)
    cross = (A * B.conj()).sum(0).abs() ** 2
    return cross / ((A.abs() ** 2).sum(0) * (B.abs() ** 2).sum(0))"""
DERANGE = """    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    found = torch.empty(n, dtype=torch.long)
    found[order] = order.roll(1)
    return found"""
SIGNED = "    a, b = (x.sign() * x.abs().log1p() for x in (student, teacher))\n"
SIGNED += "    return mse_loss(a, b)"


def draw(indices: str) -> str:
    return APART.replace("i = torch.cat([streets[names[k]] for k in chosen])", indices)


ALONE = "i = torch.randint(len(a), (len(a),), generator=g)"
WRONG = [  # exercise, body, and what its writer is told
    ("radius", RHO.replace(" / 0.5", ""), "has 0.50"),
    ("radius", RHO + ".fftshift()", "has no attribute"),
    ("radius", "    return torch.fft.fftshift(torch.hypot(torch.fft.fftfreq(h)[:, None], "
     "torch.fft.fftfreq(w)) * 2)", "Frequency zero has radius 0"),
    ("radius", RHO.replace("fftfreq(n)", "fftfreq(n, 1 / n) / min(h, w)"), "yours have two"),
    ("radius", RHO.replace("hypot", "maximum").replace("fftfreq(n)", "fftfreq(n).abs()"), "Pythag"),
    ("radius", "    return torch.hypot(torch.arange(h)[:, None] / h, torch.arange(w) / w) * 2",
     "one and the same wave"),
    ("radius", RHO.replace("(h, w)", "(w, h)"), "returns the shape (9, 6), not (6, 9)"),
    ("divergence", SUMS.replace(".sum()", ".sum((1, 2))").replace("return ", "return (")
     + ").mean()",
     "A faint picture"),
    ("divergence", SUMS.replace(".sum()", ".sum((0, 2))").replace("return ", "return (")
     + ").mean()", "A faint channel"),
    ("divergence", SUMS.replace(".sum()", ".sum((0, 1))").replace("return ", "return (")
     + ").nanmean()", "A faint frequency"),
    ("divergence", SUMS.replace(" ** 2", ""), "Energy is a square"),
    ("divergence", SUMS.replace("(A - B).abs()", "(A.abs() - B.abs())"), "yours have 0.00"),
    ("divergence", SUMS.replace(" + (B.abs() ** 2).sum()", ""), "yours have 4.00"),
    ("divergence", SUMS.replace("[..., ring]", ""), "outside the ring"),
    ("divergence", SUMS.replace("fft.fft2", "fft.rfft2"), "`A, B = (torch.fft.rfft2"),
    ("low_band", "    return x - split_bands(x, cutoff)[0]", "the fastest wave is what"),
    ("low_band", BOX + "    return torch.fft.ifft2(torch.fft.fft2(x) * mask).real",
     "where is frequency zero"),
    ("low_band", BOX + "    s = torch.fft.fftshift(torch.fft.fft2(x), dim=(-2, -1)) * mask\n"
     "    return torch.fft.ifft2(torch.fft.ifftshift(s, dim=(-2, -1))).real", "f and -f are one"),
    ("low_band", LOW.replace("fft2(x)", "fft2(x, norm='ortho')"), "times as bright"),
    ("low_band", SPLIT.format("<", "cutoff / 2"), "belongs to the low band"),
    ("low_band", LOW.replace("cutoff / 2", "cutoff"), "should vanish, and comes back"),
    ("low_band", LOW.replace("cutoff / 2", "cutoff / 4"), "should come back, and vanishes"),
    ("low_band", "    return split_bands(x, cutoff, 'disk')[0]", "Which shape"),
    ("low_band", LOW.removesuffix(".real"), "complex"),
    ("low_band", LOW.replace(".real", "").replace("fft2", "rfft2").replace(
     "* mask", "* mask[:, : x.shape[-1] // 2 + 1]"), "(1, 1, 7, 6), not"),
    ("low_band", LOW.replace("return", "x = x - x.mean(0) + x.mean() if x.ndim == 4 and len(x) == 2"
     " else x\n    return"), "when it is not alone"),
    ("band_energy", HALF.replace("2.0", "1.0"), "along x 0.5 times"),
    ("band_energy", HALF.replace("    times[0] = 1\n", "").replace("    if w % 2 == 0:\n"
     "        times[-1] = 1\n", ""), "along y counts 2 times"),
    ("band_energy", HALF.replace("    if w % 2 == 0:\n        times[-1] = 1\n", ""),
     "fastest wave along x, which changes sign from token to token, counts 2"),
    ("band_energy", HALF.replace("    if w % 2 == 0:\n        times[-1]", "    times[-1]"),
     "0.5 times its sum"),
    ("band_energy", HALF.replace(', norm="ortho"', ""), "yours is 64 times"),
    ("band_energy", HALF.replace(" ** 2", ""), "four times the energy"),
    ("band_energy", HALF.replace(" * mask[:, : w // 2 + 1]", ""), "keeps nothing"),
    ("band_energy", HALF.replace("(1, 2, 3)", ""), "returns the shape (), not (3,)"),
    ("partners", DERANGE.replace("found[order] = order.roll(1)", "found = order"), "its own"),
    ("partners", "    return [(i + 1) % n for i in range(n)]", "Another seed"),
    ("partners", "    return [random.Random(seed + i).choice([j for j in range(n) if j != i]) "
     "for i in range(n)]", "used twice"),
    ("partners", "    return random.sample(range(n), n)", "two different things"),
    ("partners", "    return n", "2 whole numbers"),
    ("partners", "    return range(1, n + 1)", "0 to 1"),
    ("matching_shift", """    maps = features(images)
    for p in range(1, 11):
        if band_divergence(maps, maps.roll(p, -1))[1] >= target:
            return 14 * p""", "no moved picture"),
    ("matching_shift", MOVE.replace("images[..., p : p + left.shape[-1]]",
     "images.roll(-p, -1)").replace("left = images[..., :-14]", "left = images"), "no camera took"),
    ("matching_shift", MOVE.replace("[..., p : p + left.shape[-1]]", "[..., p:]"), "of 14 px"),
    ("matching_shift", MOVE.replace(")[1]", ")[0]"), "the low band gets there"),
    ("matching_shift", MOVE.replace("return p", "return p / 14"), "whole number"),
    ("matching_shift", MOVE.replace("return p", "return p - 1"), "not far enough"),
    ("matching_shift", MOVE.replace("(1, 15)", "(14, 0, -1)"), "a smaller shift"),
    ("matching_shift", MOVE + "\n    return 14", "return None"),
    ("high_term", SIGNED.replace("x.sign() * ", ""), "A negated high band costs nothing"),
    ("high_term", "    return mse_loss(student**2, teacher**2)", "A negated high band costs noth"),
    ("high_term", SIGNED + ".item()", "No gradient"),
    ("high_term", SIGNED.replace("a, b)", "a, b, reduction='sum')"), "The same pictures twice"),
    ("high_term", "    return mse_loss(student.sign(), teacher.sign())", "No gradient"),
    ("high_term", SIGNED.replace("x.abs().log1p()", "(x * x).sqrt().log1p()"), "not finite"),
    ("high_term", "    return mse_loss(student.relu(), teacher.relu())", "no more than 0 where"),
    ("high_term", "    return mse_loss(student, -teacher)", "own high band should cost 0"),
    ("rgb_head", HEAD.replace("std_mean(rgb", "std_mean(infrared"), "that it is average"),
    ("rgb_head", HEAD.replace("(infrared - mean) / std", "infrared"), "standardised features"),
    ("rgb_head", HEAD.replace("(0, 2, 3), ", "").replace(", keepdim=True", ""), "own mean and sc"),
    ("rgb_head", HEAD.replace("nkhw", "nhwk").replace("[:, None, None]", ""), "returns the shape"),
    ("paired_interval", draw(ALONE), "fewer looks than pictures"),
    ("paired_interval", draw(ALONE).replace("b[i]", "b[torch.randint(160, (160,), generator=g)]"),
     "nothing is left to chance"),
    ("paired_interval", BOOT.replace("0.025, 0.975", "0.05, 0.95"), "as wide as 95 %"),
    ("paired_interval", BOOT.replace("a[i].mean() - b[i]", "b[i].mean() - a[i]"), "how far a is"),
    ("paired_interval", BOOT.replace("0.025, 0.975", "0.975, 0.025"), "comes first"),
    ("paired_interval", BOOT.replace(", generator=g", ""), "two different things"),
    ("paired_interval", "    return float((a - b).mean())", "two numbers"),
    ("coherence", COHERENCE.replace(".sum(0).abs() ** 2", ".abs().square().sum(0)").replace(
     "((A.abs() ** 2).sum(0) * (B.abs() ** 2).sum(0))",
     "((A.abs() ** 2) * (B.abs() ** 2)).sum(0)"), "score 1"),
    ("coherence", COHERENCE.replace("(A * B.conj()).sum(0).abs()", "(A * B).abs().sum(0)"),
     "is each wave's phase compared"),
    ("coherence", COHERENCE.replace(".conj()", ""), "yours score 0."),
    ("coherence", COHERENCE.replace(".abs() ** 2\n", ".abs()\n").replace("return cross / (",
     "return cross / torch.sqrt("), "yours score 0.50"),
    ("coherence", COHERENCE.replace("A, B = torch.fft.fft2(a), torch.fft.fft2(b)",
     "A, B = (s / s.abs() for s in map(torch.fft.fft2, (a, b)))"), "Loud pictures"),
    ("coherence", COHERENCE.replace("fft2(", "rfft2("), "(2, 8, 5), not (2, 8, 8)"),
    ("without_chance", "    return coherence - 1 / images", "should stay 1"),
    ("without_chance", "    return coherence * images / (images - 1)", "become 0"),
    ("without_chance", "    return ((coherence - 1 / images) / (1 - 1 / images)).clamp(0)",
     "Noise falls"),
]  # fmt: skip


def written(name: str, body: str) -> str:
    return f"def {attempts.EXERCISES[name].call}:\n{body}\n"


@pytest.mark.parametrize(("name", "body", "told"), WRONG)
def test_a_typical_wrong_attempt_is_told_what_is_wrong(name, body, told, tmp_path):
    (tmp_path / "mine.py").write_text(SETUP + written(name, body))
    (found,) = attempts.judge_all([name], tmp_path / "mine.py")
    assert found.state == "wrong" and told in found.message


BAD = {
    "    return [1.0]": "returns a list, where a tensor",
    "    return x[0]": "returns the shape (1, 8, 8), not (1, 1, 8, 8)",
    "    return x * math.nan": "not finite",
    "    x -= 1\n    return x": "It changes what it is given",
    "    return torch.rand_like(x)": "two different things",
    "    y = 1\n    return x.nothing": "Line 9, `return x.nothing`: AttributeError",
    "    exit()": "Line 8, `exit()`: SystemExit",
    "    while True:\n        pass": "not done after 1 seconds",
    "    return (": "mine.py, line 8, can't be run: '(' was never closed",
    "    return x\nlow_band = 3": "is a int, and no function",
    "    return x\ndef low_band(x): return x": "can't be called as low_band(x, cutoff)",
}


@pytest.mark.parametrize("body", BAD)
def test_whatever_a_function_does_ends_in_a_sentence(body, tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "LIMIT", 1)
    (tmp_path / "mine.py").write_text(SETUP + written("low_band", body))
    (found,) = attempts.judge_all(["low_band"], tmp_path / "mine.py")
    assert found.state == "wrong" and BAD[body] in found.message


def solved(path: Path) -> nbformat.NotebookNode:
    """A notebook with its own solutions as answers."""
    notebook = nbformat.read(path, 4)
    for i, cell in enumerate(notebook.cells):
        if "answer" in cell.metadata.get("tags", []):
            folded = notebook.cells[i + 2].source
            assert folded.count("<details>") == 3, "two hints and a solution"
            cell.source = re.search(r"```python\n(.*?)\n```", folded, re.S)[1]
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_with_its_solutions_runs_and_is_solved(path, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("FREQKD_RUNS", str(tmp_path))
    monkeypatch.setattr(attempts, "_told", {})
    names: dict = {"__name__": "notebook"}
    for i, cell in enumerate(solved(path).cells):
        assert not cell.get("outputs") and not cell.get("execution_count")
        if cell.cell_type == "code":
            place, lines = f"{path.name} {i}", cell.source.splitlines(True)
            linecache.cache[place] = (0, None, lines, place)
            exec(compile(cell.source, place, "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                names |= {"steps": 1, "pairs": 6, "size": [56, 70]}
    shown = capsys.readouterr().out
    assert not re.search(": (wrong|open)", shown) and re.search(r"(\d+) of \1 solved", shown)
    assert ("yours" in shown) == path.stem.startswith("04")


def test_the_notebooks_have_all_exercises_with_their_minutes():
    shown = []
    for path in NOTEBOOKS:
        text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
        shown += re.findall(r"^`(.+)` · (\d+) minutes · difficulty (●+)", text, re.M)
        assert f"](../notebooks/{path.stem}.ipynb)" in text
        assert (ROOT / "notebooks" / path.name).exists()
    every = attempts.EXERCISES.values()
    assert shown == [(e.call, str(e.minutes), "●" * e.difficulty) for e in every]


def test_the_command_marks_a_notebook_in_json(tmp_path):
    notebook = solved(FOLDER / "02_band_split.ipynb")
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    words = [sys.executable, "-m", "freqkd_lite", "exercises", "check", "--json", "--file"]
    words += [str(tmp_path / "mine.ipynb")]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT)
    states = {row["exercise"]: row["state"] for row in json.loads(done.stdout)}
    assert done.returncode == 1 and done.stderr == ""
    assert states.pop("low_band") == states.pop("band_energy") == "solved"
    assert {*states.values()} == {"open"}
