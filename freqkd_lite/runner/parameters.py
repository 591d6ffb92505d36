"""Which parameters a notebook has, and what presets and the command line set them to."""

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import papermill
import yaml
from pydantic import PydanticUserError, TypeAdapter

from freqkd_lite.errors import UserError, check_known, explained
from freqkd_lite.names import OLD_KEYS, renamed
from freqkd_lite.store import PACKAGE, parsed

TYPES = {t.__name__: t for t in (int, float, str, bool, list, tuple, dict)} | {"Literal": Literal}
PATHS = ("root", "weights")  # parameters that name a place on this machine


class _Loader(yaml.SafeLoader):
    """YAML that reads 1e-4 as a number, as version 1.2 of the language does. What an anchor names
    holds no alias: a few lines of those can stand for more values than there is memory."""

    inside = 0

    def compose_node(self, parent, index):
        event = self.peek_event()
        if self.inside and isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"*{event.anchor} is inside what another name stands for")
        anchored = event.anchor is not None and not isinstance(event, yaml.AliasEvent)
        self.inside += anchored
        node = super().compose_node(parent, index)
        self.inside -= anchored
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path, name: str) -> dict:
    """What a YAML file, called `name`, sets, with today's names; `UserError` if nothing."""
    content = parsed(path, "give a YAML file", lambda text: renamed(yaml.load(text, _Loader)))
    return settings_of(content or None, name)


def settings_of(content: object, name: str) -> dict:
    """`content` of a file called `name`; `UserError` where it is anything but names and values."""
    if not isinstance(content, dict):
        raise UserError(f"{name} holds no settings: write lines of 'name: value'.")
    return content


def read_plan(name: str | Path, given: Iterable[str] = ()) -> dict:
    """The content of plans/NAME.yaml, or of a file, in which each `name=value` of `given` replaces
    a setting. Settings are below `settings`, or are the whole file."""
    file = Path(name)
    if file.suffix not in (".yaml", ".yml"):
        files = {path.stem: path for path in (PACKAGE / "plans").glob("*.yaml")}
        check_known("plan", files, str(name))
        file = files[str(name)]
    content = read_yaml(file, file.name)
    plan = content if "settings" in content else {"settings": content}
    settings = settings_of(plan["settings"], file.name)
    settings |= {name: read_value(text) for name, text in pairs(given)}
    return plan


def read_value(text: str) -> object:
    """A value written on a command line, read as YAML; as plain text if it is not YAML."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):
        return text


def pairs(given: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Name and text of each `name=value` that was given on a command line."""
    for item in given:
        name, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"-p {item!r} has no '=': write it as name=value.")
        yield name, text


def find_notebooks(folder: Path) -> list[Path]:
    """The numbered notebooks of a folder, in order."""
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UserError(f"There are no notebooks in {folder}: run this inside a clone.")
    return found


def find_notebook(folder: Path, name: str) -> Path:
    """The path of the notebook called `name`, with or without folder and ending."""
    stems = {path.stem: path for path in find_notebooks(folder)}
    wanted = Path(name).name.removesuffix(".ipynb")
    check_known("notebook", stems, wanted)
    return stems[wanted]


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook, such as `seed: int = 0`."""

    name: str
    annotation: str
    default: Any

    def check(self, value: object, notebook: str) -> object:
        """The value as this parameter's type; `UserError` if it has another."""
        try:
            adapter = TypeAdapter(eval(self.annotation, {"__builtins__": {}}, TYPES))
            # In JSON a tuple is a list and an int is a float, but "3" is no number and 1 no bool.
            read = adapter.validate_json(json.dumps(value), strict=True)
            return json.loads(json.dumps(read))
        except (ValueError, PydanticUserError, TypeError):
            raise UserError(
                f"Parameter {self.name} of {notebook} is {value!r}, not {self.annotation}: "
                f"give a value like {self.default!r}."
            ) from None

    def read(self, text: str, notebook: str) -> object:
        """The value written as `text` on a command line."""
        try:
            return self.check(read_value(text), notebook)
        except UserError:
            return self.check(text, notebook)


def parameters(path: Path) -> dict[str, Parameter]:
    """The parameters of a notebook's cell tagged `parameters`.

    `UserError` for anything but typed literals: a value computed from others would go stale when
    one of those is set from outside.
    """
    try:
        inspected = papermill.inspect_notebook(path)
    except Exception as error:  # nbformat raises all kinds for what is no notebook
        why = " ".join(str(error).split())[:200]
        raise UserError(f"{path.name} can't be read ({why}): save it in JupyterLab.") from None
    found = {}
    for name, about in inspected.items():
        try:
            default = ast.literal_eval(about["default"])
            found[name] = Parameter(name, about["inferred_type_name"], default)
            found[name].check(default, path.stem)
        except (NameError, SyntaxError, TypeError, ValueError):
            raise UserError(
                f"Parameter {name} of {path.name} is no typed literal: write name: type = value, "
                f"with types out of {', '.join(sorted(TYPES))}."
            ) from None
    if not found:
        raise UserError(f"{path.name} has no parameters: tag their cell 'parameters'.")
    return found


def read_preset(folder: Path, preset: str) -> dict[str, dict[str, object]]:
    """What a preset sets in every notebook, checked: `{"05_distillation": {"seed": 3}}`.

    In `presets/NAME.yaml` the section `common` is for each notebook that has the parameter, a
    notebook's own section overrides it. `default` sets nothing.
    """
    books = {path.stem: parameters(path) for path in find_notebooks(folder)}
    settings: dict[str, dict[str, object]] = {stem: {} for stem in books}
    if preset == "default":
        return settings
    files = {path.stem: path for path in (folder / "presets").glob("*.yaml")}
    check_known("preset", [*files, "default"], preset)
    name = f"presets/{preset}.yaml"
    with explained(name, "write sections such as 'common:' of 'name: value'"):
        sections = TypeAdapter(dict[str, dict[str, object]])
        content = sections.validate_python(read_yaml(files[preset], name))
    check_known(f"section of {name}", {"common", *books}, *content)
    for section in sorted(content, key=lambda section: section != "common"):
        targets = books if section == "common" else {section: books[section]}
        names = {name for known in targets.values() for name in known}
        check_known(f"parameter in section {section} of {name}", names, *content[section])
        for key, value in content[section].items():
            for stem, known in targets.items():
                if key in known:
                    settings[stem][key] = known[key].check(value, stem)
    return settings


def choose(folder: Path, name: str, preset: str, given: Iterable[str]) -> tuple[Path, dict]:
    """The notebook and its checked parameters: the preset's, then each `name=value` of `given`."""
    path = find_notebook(folder, name)
    chosen, known = read_preset(folder, preset)[path.stem], parameters(path)
    for key, text in pairs(given):
        key = OLD_KEYS.get(key, key)
        check_known(f"parameter of {path.stem}", known, key)
        chosen[key] = renamed(known[key].read(text, path.stem), key)
    return path, chosen


def from_here(values: dict) -> dict:
    """The values with paths made absolute: a notebook runs in its own folder, but a relative path
    is meant from where the user stands."""
    named = {k: values[k] for k in PATHS if values.get(k) not in (None, "", "random")}
    return values | {name: str(Path(p).expanduser().absolute()) for name, p in named.items()}
