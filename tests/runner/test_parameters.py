"""Parameters, presets and the command line: what is refused before anything runs."""

from pathlib import Path

import pytest

from freqkd_lite.runner.parameters import choose, from_here, parameters, read_preset
from tests.refused import refused
from tests.runner.books import code, settings, write

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def preset(folder: Path, content: str) -> str:
    (folder / "presets" / "small.yaml").write_text(content)
    return "small"


def test_parameters_have_name_type_and_default(folder):
    found = parameters(folder / "01_second.ipynb")
    assert list(found) == ["seed", "rate", "methods", "size", "fast", "root"]
    assert found["size"].annotation == "list[int]" and found["size"].default == [168, 224]
    assert found["rate"].default == 0.001


@pytest.mark.parametrize(
    "source",
    ["seed = 3", "seed: int = 1\ntwice: int = 2 * seed", "import os", "x: Tensor = 3"]
    + ["seed: int = 'a'", "x: Literal = 1"],
)
def test_parameters_that_are_no_typed_literals_are_refused(folder, source):
    path = write(folder, "02_third", [settings(source)])
    refused("02_third", parameters, path)


def test_a_folder_without_notebooks_or_one_without_parameters_is_refused(folder, tmp_path):
    refused(f"no notebooks in {tmp_path}", read_preset, tmp_path, "default")
    write(folder, "02_third", [code("seed: int = 3")])
    refused("02_third.ipynb", read_preset, folder, "default")


def test_a_preset_s_own_section_overrides_its_common_one_wherever_they_stand(folder):
    common, second = "common: {seed: 7, rate: 1e-4}", "01_second: {seed: 8, size: [14, 28]}"
    expected = {"00_first": {"seed": 7}, "01_second": {"seed": 8, "rate": 0.0001, "size": [14, 28]}}
    for content in (f"{common}\n{second}", f"{second}\n{common}"):
        assert read_preset(folder, preset(folder, content)) == expected


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("common: {sead: 1}", "'sead'.*'seed'"),
        ("00_first: {rate: 1.0}", "'rate'"),
        ("01_secnd: {seed: 1}", "'01_secnd'.*'01_second'"),
        ("01_second: {seed: 1.5}", "seed of 01_second is 1.5"),
        ("01_second: {fast: 1}", "fast of 01_second is 1"),
        ("01_second: {size: [1, a]}", "size of 01_second"),
        ("01_second: 3", "presets/small.yaml: 01_second=3"),
        ("- a", "presets/small.yaml"),
        ("a: [", "presets/small.yaml"),
        ("common: &loop {size: *loop}", "small.yaml"),
    ],
)
def test_a_wrong_preset_is_refused_with_the_nearest_name(folder, content, named):
    refused(named, read_preset, folder, preset(folder, content))


def test_committed_presets_hold_and_scenes_is_the_default_spelled_out():
    names = {path.stem for path in (NOTEBOOKS / "presets").glob("*.yaml")}
    assert names >= {"scenes", "msrs", "roadscene", "hituav", "folder", "smoke"}
    given = {name: read_preset(NOTEBOOKS, name) for name in names}
    for stem, values in given["scenes"].items():
        known = parameters(NOTEBOOKS / f"{stem}.ipynb")
        assert values == {key: known[key].default for key in values}


def test_command_line_values_take_the_parameter_s_type_and_override_the_preset(folder):
    name = preset(folder, "01_second: {seed: 8, fast: true}")
    given = ["seed=9", "rate=2e-5", "size=[14, 28]", "root=2024", "fast=false", "arms=[mse]"]
    path, values = choose(folder, "notebooks/01_second.ipynb", name, given)
    assert path.stem == "01_second"
    expected = dict(seed=9, rate=2e-5, size=[14, 28], root="2024", fast=False, methods=["mse"])
    assert values == expected


@pytest.mark.parametrize(
    ("notebook", "name", "given", "named"),
    [
        ("01_second", "default", "sed=3", "'sed'.*'seed'"),
        ("01_second", "default", "seed", "'seed'"),
        ("01_second", "default", "seed=many", "'many'"),
        ("01_second", "default", "seed=true", "not int"),
        ("01_second", "default", "rate=[1]", "not float"),
        ("01_second", "smal", "seed=1", "'smal'.*'small'"),
        ("01_sceond", "small", "seed=1", "'01_sceond'.*'01_second'"),
    ],
)
def test_a_wrong_command_line_is_refused(folder, notebook, name, given, named):
    preset(folder, "common: {seed: 1}")
    refused(named, choose, folder, notebook, name, [given])


def test_relative_paths_are_meant_from_where_the_user_stands(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    values = {"root": "pairs", "weights": "random", "seed": 1}
    assert from_here(values) == values | {"root": str(tmp_path / "pairs")}
    weights = from_here({"root": "", "weights": "w.safetensors"})
    assert weights == {"root": "", "weights": str(tmp_path / "w.safetensors")}
