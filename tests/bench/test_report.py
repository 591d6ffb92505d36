"""The bench's answers, from numbers written by hand, and a folder that goes on where it stopped."""

import inspect
import json
import math
import re

import pytest
from typer.testing import CliRunner

from freqkd_lite.bench import report
from freqkd_lite.bench.step import AGAIN
from freqkd_lite.cli.bench import bench
from freqkd_lite.errors import UserError


def linear(**changed):
    row = {"shape": [8, 2, 3, 4], "loss": "step", "kind": "linear", "ms": 2.0, "straight_ms": 8.0,
           "faster": 4.0, "of_mse": 1.7, "error": 1e-6}  # fmt: skip
    return {"what": "loss", "rows": [row | changed]}


def stepping(what="step", name="code", **changed):
    row = {"seconds": 0.21, "ratio": 1.05, "memory_bytes": 11e6, "memory_ratio": 1.1,
           "difference": 1e-7, "equal": True}  # fmt: skip
    group = "loss" if what == "step" else "kind"
    return {"what": what, "base": "mse", group: {name: row | changed}}


def timed_alone(again=None, **changed):
    """A row of a step whose loss was timed alone too, and the base's again."""
    own = {"ratio_quartiles": [1.0, 1.1], "loss_seconds": 0.0123, "by_loss": 1.05}
    found = stepping(**own | changed)
    base = {"ratio": 1.02, "ratio_quartiles": [0.96, 1.125], "by_loss": 1.0, "memory_ratio": 1.0}
    found["loss"][AGAIN] = stepping(**own | base | (again or {}))["loss"]["code"]
    return found


def powers(time, memory, tokens=(10, 1000)):
    rows = [{"grid": [n // 10, 10], "tokens": n, "seconds": 1e-3 * n**time,
             "pictures_per_second": 1e3 * n**-time, "memory_bytes": 1e6 * n**memory}
            for n in tokens]  # fmt: skip
    return {"what": "tokens", "grid": rows, "time_exponent": time, "memory_exponent": memory}


@pytest.mark.parametrize(
    "found,missed",
    [
        (linear(), []),  # each number lies on its bar
        (linear(faster_quartiles=[3.0, 6.0], of_mse_quartiles=[1.6, 1.9]), []),  # medians count
        (linear(faster=3.99), ["step at 8x2x3x4: faster 3.99x, at least 4.0x"]),
        (linear(of_mse=1.71), ["step at 8x2x3x4: of MSE 1.71x, at most 1.7x"]),
        (linear(kind="elementwise", faster=2.0, of_mse=9.0), []),
        (linear(kind="elementwise", faster=1.9), ["step at 8x2x3x4: faster 1.90x, at least 2.0x"]),
        (linear(error=2e-5), ["step at 8x2x3x4: differs by 2e-05"]),
        (linear(error=math.nan), ["step at 8x2x3x4: differs by nan"]),
        (stepping(), []),
        (stepping(ratio=1.06), ["code: time 1.06x, at most 1.05x"]),
        (stepping(ratio=1.0504), ["code: time 1.0504x, at most 1.05x"]),
        (stepping(ratio_quartiles=[1.0, 1.2]), []),
        (timed_alone(ratio=1.2, ratio_quartiles=[1.0, 1.3]), []),  # chance, by the loss's own time
        (timed_alone(again={"ratio_quartiles": [1.2, 1.3], "by_loss": 1.3}), []),  # of chance
        (timed_alone(by_loss=1.06), ["code: time 1.06x, at most 1.05x"]),
        (timed_alone(ratio_quartiles=[1.08, 1.3]), ["code: time 1.08x, at most 1.05x"]),
        (stepping(memory_ratio=1.2), ["code: memory 1.20x, at most 1.1x"]),
        (stepping(equal=False, difference=1e-3), ["code: differs by 1e-03"]),
        (stepping("cache", "cached", ratio=1.08), []),
        (stepping("cache", "cached", ratio=1.09), ["cached: time 1.09x, at most 1.08x"]),
        (stepping("cache", "computed", ratio=3.0, memory_ratio=2.0), []),
        (powers(1.2, 0.9), []),
    ],
)
def test_bars(found, missed):
    assert report.misses(found) == missed
    first, *table = report.text(found).splitlines()
    if found["what"] != "tokens":
        assert first.startswith("The bar holds" if not missed else "The bar does not hold")
    assert all(phrase in first for phrase in missed)
    header, rows = report.columns(found)
    assert len(table) == 1 + len(rows) and all(len(row) == len(header) for row in rows)


def test_a_ratio_is_shown_with_its_quartiles_where_it_has_them():
    found = linear(faster=5.04, faster_quartiles=[4.56, 5.33], of_mse_quartiles=[1.6, 1.9])
    (row,) = report.columns(found)[1]
    assert row[-3:] == ["5.0 (4.6-5.3)", "1.70 (1.60-1.90)", "1e-06"]
    (row,) = report.columns(linear())[1]  # a file that was written before
    assert row[-3:] == ["4.0", "1.70", "1e-06"]
    for what, name in (("step", "code"), ("cache", "cached")):
        (row,) = report.columns(stepping(what, name, ratio_quartiles=[0.99, 1.0625]))[1]
        assert row[:3] == [name, "210", "1.050 (0.990-1.062)"]


def test_a_loss_alone_has_columns_where_it_was_timed():
    found = timed_alone(by_loss=1.0312, ratio=1.0712)
    assert report.answer(found) == (
        "The bar holds: a step at most 1.05x one with mse by what the loss alone takes, whole "
        "steps above it in less than three of four rounds, memory at most 1.1x, equal to 1e-5. "
        "Medians of whole steps above 1.05x: code 1.071; a second step with mse has 1.020 "
        "(0.960-1.125) of the first."
    )
    assert "above 1.05x: none; a second" in report.answer(timed_alone())
    header, (row, again) = report.columns(found)
    assert again[0] == AGAIN
    assert header[:5] == ("loss", "ms", "of mse", "loss alone, ms", "of mse by that")
    assert row[:5] == ["code", "210", "1.071 (1.000-1.100)", "12.3", "1.031"]
    assert "alone" not in " ".join(report.columns(stepping())[0])
    assert "alone" not in " ".join(report.columns(stepping("cache", "cached"))[0])


def test_powers_are_told_and_drawn():
    found = powers(1.25, 0.5) | {"manifest": {"cpu": "A CPU"}, "threads": 2}
    assert report.answer(found) == (
        "Time grows as tokens to the power of 1.25 (1.25 between the smallest two, 1.25 between "
        "the largest two), memory of 0.50."
    )
    bent = powers(1.0, 1.0, (10, 100, 1000))
    bent["grid"][2]["seconds"] *= 10  # from 1 to 2
    assert "1.00 between the smallest two, 2.00 between the largest" in report.answer(bent)
    drawn, alt = report.figure([found])
    speed, memory = drawn.axes
    for ax, key, scale in ((speed, "pictures_per_second", 1), (memory, "memory_bytes", 1e-6)):
        points, line = ax.lines
        expected = [row[key] * scale for row in found["grid"]]
        assert list(points.get_ydata()) == pytest.approx(expected)
        assert list(line.get_ydata()) == pytest.approx(expected)  # exact powers lie on their line
    assert "A CPU, 2 threads: from 10 to 1000 tokens, 56.2 to 0.178 pictures a second" in alt


@pytest.fixture
def parts(monkeypatch):
    """Parts that count how often they are measured."""
    asked = []
    made = {"loss": linear(faster=3.0), "step": stepping(), "cache": stepping("cache", "cached"),
            "tokens": powers(1.0, 1.0)}  # fmt: skip

    def measure(part):
        return lambda device, **options: asked.append((part, options)) or made[part]

    monkeypatch.setattr(report, "PARTS", {part: measure(part) for part in made})
    return asked


def test_a_stopped_bench_goes_on_and_the_page_tells_all(parts, tmp_path, monkeypatch):
    whole = dict(report.PARTS)
    stop = {"cache": lambda device: (_ for _ in ()).throw(KeyboardInterrupt)}
    monkeypatch.setattr(report, "PARTS", whole | stop)
    with pytest.raises(KeyboardInterrupt):
        report.run_all(tmp_path, say=lambda line: None)
    assert [part for part, _ in parts] == ["loss", "step"]
    monkeypatch.setattr(report, "PARTS", whole)
    told = []
    page = report.run_all(tmp_path, say=told.append)
    assert [part for part, _ in parts] == ["loss", "step", "cache", "tokens"]
    assert sum("kept" in line for line in told) == 2
    html, readme = page.read_text(), (tmp_path / "README.md").read_text()
    for text in (html, readme):
        assert "2 of 3 measurements meet their bars: not loss." in text
        assert "step at 8x2x3x4: faster 3.00x, at least 4.0x" in text
    assert "| 8x2x3x4 | step | 2.0 | 8.0 | 3.0 | 1.70 | 1e-06 |" in readme
    about = json.loads((tmp_path / "loss.json").read_text())["manifest"]
    assert about["device"] == "cpu" and about["cpu"] and about["versions"]["torch"]
    # other options are measured again
    report.run_all(tmp_path, options={"loss": {"repeats": 2}}, say=told.append)
    assert parts[-1] == ("loss", {"repeats": 2}) and len(parts) == 5


def test_rows_of_a_gpu_and_of_the_slider_join_the_page(parts, tmp_path):
    report.run_all(tmp_path, say=lambda line: None)
    gpu = powers(1.5, 1.0) | {"manifest": {"device": "Some GPU"}}
    (tmp_path / "tokens-Some_GPU.json").write_text(json.dumps(gpu))
    row = {"where": "JupyterLab", "what": "fader", "n": 20, "median_ms": 9.5, "p95_ms": 16.0,
           "load": 0.2}  # fmt: skip
    (tmp_path / "slider.json").write_text(json.dumps({"what": "slider", "rows": [row]}))
    report.write_page(tmp_path)
    readme = (tmp_path / "README.md").read_text()
    assert "Some GPU. Time grows as tokens to the power of 1.50" in readme
    assert "| JupyterLab | fader | 20 | 9.5 | 16.0 | 0.20 |" in readme
    assert re.search(r"!\[.*Some GPU: from 10 to 1000 tokens.*\]\(tokens.png\)", readme)


STUDY = {"model": "vit_small_patch14_dinov2.lvd142m", "size": (140, 168), "batch": 8,
         "blocks": (3, 7, 9, 11), "rounds": 21}  # fmt: skip
SMALLEST = {"model": "freqkd_tiny", "size": (140, 168), "batch": 2, "blocks": (1, 3, 5, 7)}


@pytest.mark.parametrize(
    "part,expected",
    [
        ("step", STUDY),
        ("step-smallest", SMALLEST | {"rounds": 21}),
        ("cache", STUDY),
        ("cache-smallest", SMALLEST | {"rounds": 7}),
    ],
)
def test_step_and_cache_are_of_the_study_s_size_and_of_the_smallest(part, expected):
    taken = inspect.signature(report.PARTS[part]).parameters
    assert {name: taken[name].default for name in expected} == expected


def test_the_study_s_size_stands_first_and_each_size_has_its_bar(tmp_path):
    for name, ratio in (("cache-smallest", 1.3), ("cache", 1.0), ("step", 1.0)):
        part = stepping(name.partition("-")[0], "cached", ratio=ratio) | {
            "manifest": {"cpu": "A CPU"}, "model": name, "batch": 2, "size": [1, 2]
        }  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
    assert [file.stem for file in report.read_all(tmp_path)] == ["step", "cache", "cache-smallest"]
    report.write_page(tmp_path)
    readme = (tmp_path / "README.md").read_text()
    assert "2 of 3 measurements meet their bars: not cache." in readme
    assert readme.count("## A step with the teacher's features in a cache") == 1
    told = re.findall("A CPU; (cache.*), 2 pictures of 1x2 pixels. (The .*?) ?[(:]", readme)
    assert told == [("cache", "The bar holds"), ("cache-smallest", "The bar does not hold")]


def test_widgets_and_the_kernel_have_bars_of_their_own():
    def row(where, what, p95):
        return {"where": where, "what": what, "n": 20, "median_ms": 9.0, "p95_ms": p95, "load": 1}

    quick = [row("JupyterLab", "fader", 32.9), row("JupyterLab, kernel", "explorer", 149.0)]
    assert report.answer({"what": "slider", "rows": quick}) == (
        "The bar holds: in 95 % of moves a widget's picture within 33 ms, the kernel's within 150 "
        "ms."
    )
    slow = [row("exported page", "fader", 33.0), row("JupyterLab, kernel", "explorer", 160.0)]
    assert report.misses({"what": "slider", "rows": slow}) == [
        "fader in exported page: 33 ms, at most 33",
        "explorer in JupyterLab, kernel: 160 ms, at most 150",
    ]


def test_what_a_user_gets_wrong_is_told(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="device='cuda'"):
        report.run_all(tmp_path, "cuda")
    with pytest.raises(UserError, match="holds no bench's results"):
        report.write_page(tmp_path)
    (tmp_path / "loss.json").write_text("[]")
    with pytest.raises(UserError, match="loss.json holds no bench's results"):
        report.run_all(tmp_path)
    (tmp_path / "loss.json").write_text(json.dumps(linear()))
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match="was not written by"):
        report.write_page(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_another_processor_is_measured_anew(parts, tmp_path, monkeypatch):
    report.run_all(tmp_path, say=lambda line: None)
    report.run_all(tmp_path, say=lambda line: None)
    assert len(parts) == 4
    monkeypatch.setattr(report, "cpu_model", lambda: "Another CPU")
    report.run_all(tmp_path, say=lambda line: None)
    assert len(parts) == 8


def test_a_single_part_asks_for_its_device_too(parts, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    told = CliRunner().invoke(bench, ["step", "--device", "cuda"])
    assert isinstance(told.exception, UserError) and "no GPU here" in str(told.exception)
    told = CliRunner().invoke(bench, ["step", "--device", "gpu"])
    assert isinstance(told.exception, UserError) and not parts


def test_commands_print_a_table_or_json(parts):
    out = CliRunner().invoke(bench, ["step"]).output
    assert out.startswith("The bar holds") and "code" in out
    assert json.loads(CliRunner().invoke(bench, ["tokens", "--json"]).output) == powers(1.0, 1.0)


def test_a_step_is_told_with_its_network_and_batch():
    found = stepping() | {"manifest": {"cpu": "A CPU"}, "threads": 2, "model": "test_vit"}
    assert report.subject(found) == "A CPU, 2 threads"
    found |= {"batch": 3, "size": [32, 48]}
    told = "A CPU, 2 threads; test_vit, 3 pictures of 32x48 pixels"
    assert report.subject(found) == told
    found["loss"]["anchor"] = found["loss"]["code"]
    assert report.subject(found) == (
        f"{told}; anchor reads the untrained student's features from a cache"
    )
