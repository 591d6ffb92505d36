"""Running notebooks: parameters checked first, then papermill, then a look for hidden errors."""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nbformat
import papermill
import yaml
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from pydantic import TypeAdapter, ValidationError

from freqkd_lite.errors import UserError, unknown
from freqkd_lite.store import (
    PACKAGE,
    RECIPE,
    VERSIONS,
    digest,
    manifest,
    run_key,
    sha256_file,
    whole_folder,
    write_json,
)

NOTEBOOK, MANIFEST, ERROR = "notebook.ipynb", "manifest.json", "error.txt"
TYPES = {t.__name__: t for t in (int, float, str, bool, list, tuple, dict)} | {"Literal": Literal}
TIMES = Path("results/default/minutes.json")
TRACEBACK = "Traceback (most recent call last)"
ENGINE = "freqkd"  # papermill's name of `_Engine`
AGAIN = 1.0  # seconds


FOLDERS = {"FREQKD_RUNS", "FREQKD_CACHE", "FREQKD_DATA", "FREQKD_WEIGHTS"}


class _Loader(yaml.SafeLoader):
    """YAML that reads 1e-4 as a number, as version 1.2 of the language does."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path, where: str) -> object:
    """What a YAML file holds; one that can't be read is told by the name `where`."""
    try:
        return yaml.load(path.read_text(), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(error, "problem_mark", None)
        at = f" at line {line.line + 1}" if line else ""
        raise UserError(f"{where} is no valid YAML{at}: mend it there.") from None


def read_value(text: str) -> object:
    """A value written on a command line, as YAML; what is none is the text itself."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


def find_notebooks(folder: Path) -> list[Path]:
    """The notebooks of a folder in the order of the argument."""
    found = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise UserError(f"There are no notebooks in {folder}: run this inside a clone.")
    return found


def find_notebook(folder: Path, name: str) -> Path:
    """`05_distillation`, with or without folder and ending, as the path of that notebook."""
    stems = {path.stem: path for path in find_notebooks(folder)}
    wanted = Path(name).name.removesuffix(".ipynb")
    if wanted not in stems:
        raise unknown("notebook", wanted, stems)
    return stems[wanted]


@dataclass(frozen=True)
class Parameter:
    """One typed setting of a notebook: `seed: int = 0`."""

    name: str
    annotation: str
    default: object

    def check(self, value: object, notebook: str) -> object:
        """The value as this parameter's type, or one sentence that says why it is not one."""
        kind = eval(self.annotation, {"__builtins__": {}}, TYPES)
        try:
            # In JSON a tuple is a list and an int is a float, but "3" is no number and 1 no bool.
            return TypeAdapter(kind).dump_python(
                TypeAdapter(kind).validate_json(json.dumps(value), strict=True), mode="json"
            )
        except (ValidationError, TypeError):
            raise UserError(
                f"Parameter {self.name} of {notebook} is {value!r}, which is no {self.annotation}: "
                f"give a value like {self.default!r}."
            ) from None

    def read(self, text: str, notebook: str) -> object:
        """The value written as `text` on a command line."""
        try:
            return self.check(read_value(text), notebook)
        except UserError:
            return self.check(text, notebook)


def parameters(path: Path) -> dict[str, Parameter]:
    """What the notebook's cell tagged `parameters` sets; anything but typed literals is refused,
    because a value computed from others goes stale when one of those is given from outside."""
    cells = nbformat.read(path, 4).cells
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise UserError(
            f"{path.name} has {len(tagged)} cells tagged 'parameters': tag the one that holds them."
        )
    found = {}
    for statement in ast.parse(tagged[0].source).body:
        line = ast.unparse(statement)
        try:
            name, annotation = statement.target.id, ast.unparse(statement.annotation)
            found[name] = Parameter(name, annotation, ast.literal_eval(statement.value))
            eval(annotation, {"__builtins__": {}}, TYPES)
        except (AttributeError, NameError, TypeError, ValueError):
            raise UserError(
                f"The parameters cell of {path.name} holds {line!r}: write name: type = value, "
                f"with types out of {', '.join(sorted(TYPES))}."
            ) from None
    return found


def read_preset(folder: Path, preset: str) -> dict[str, dict[str, object]]:
    """A preset's checked parameters for every notebook: `{"05_distillation": {"seed": 3}}`.

    One YAML file, `presets/NAME.yaml`; its section `common` holds for each notebook that has the
    parameter, a notebook's own section goes before it. `default` is what the notebooks say.
    """
    books = {path.stem: parameters(path) for path in find_notebooks(folder)}
    settings: dict[str, dict[str, object]] = {stem: {} for stem in books}
    if preset == "default":
        return settings
    files = {path.stem: path for path in (folder / "presets").glob("*.yaml")}
    if preset not in files:
        raise unknown("preset", preset, [*files, "default"])
    where = f"presets/{preset}.yaml"
    content = read_yaml(files[preset], where) or {}
    sections = content if isinstance(content, dict) else {where: None}
    # `common` comes first, wherever it stands, so that a notebook's own values replace its.
    for section, values in sorted(sections.items(), key=lambda item: item[0] != "common"):
        if section not in {"common", *books}:
            raise unknown(f"section of {where}", section, {"common", *books})
        if not isinstance(values, dict):
            raise UserError(f"Section {section} of {where} holds no 'name: value' lines: add some.")
        targets = list(books) if section == "common" else [section]
        names = {name for stem in targets for name in books[stem]}
        for name, value in values.items():
            if name not in names:
                raise unknown(f"parameter in section {section} of {where}", name, names)
            for stem in targets:
                if name in books[stem]:
                    settings[stem][name] = books[stem][name].check(value, stem)
    return settings


def choose(folder: Path, name: str, preset: str, given: Iterable[str]) -> tuple[Path, dict]:
    """The notebook and its checked parameters: the preset's, then each `name=value` of `given`."""
    path = find_notebook(folder, name)
    chosen, known = read_preset(folder, preset)[path.stem], parameters(path)
    for item in given:
        key, equals, text = item.partition("=")
        if not equals:
            raise UserError(f"-p {item!r} has no '=': write it as name=value.")
        if key not in known:
            raise unknown(f"parameter of {path.stem}", key, known)
        chosen[key] = known[key].read(text, path.stem)
    return path, chosen


def hidden_errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Errors in a notebook's outputs and in its widgets' saved state, one sentence each.

    A failing callback of `interact` or `Output` leaves the execution's exit status at 0.
    """
    found = []

    def look(node: object, where: str) -> None:
        if isinstance(node, dict) and node.get("ename"):
            found.append(f"{where}: {node['ename']}: {node.get('evalue', '')}")
        elif isinstance(node, dict | list):
            for child in node.values() if isinstance(node, dict) else node:
                look(child, where)
        elif isinstance(node, str) and TRACEBACK in node:
            found.append(f"{where}: {node.strip().splitlines()[-1]}")

    for number, cell in enumerate(notebook.cells):
        look(cell.get("outputs", []), f"cell {number}")
    look(notebook.metadata.get("widgets", {}), "a widget's callback")
    return found


def check_kernel() -> None:
    """Refuses to run notebooks on a Python other than this one."""
    python = Path(KernelSpecManager().get_kernel_spec("python3").argv[0])
    if python.is_absolute() and python.parent != Path(sys.executable).parent:
        raise UserError(
            f"The Jupyter kernel 'python3' runs {python}, not {sys.executable}: "
            "run `python -m ipykernel install --sys-prefix`."
        )


class _Client(PapermillNotebookClient):
    """papermill's, which may wait for ever for a reply that has come: an Output widget makes it
    send while it waits, through a view of the socket that swallows the sign of an arrival
    (github.com/jupyter/nbclient/issues/312). So the socket is looked at again each second."""

    async def async_execute_cell(self, *cell: object, **options: object) -> NotebookNode:
        looking = asyncio.ensure_future(self._look_again())
        try:
            return await super().async_execute_cell(*cell, **options)
        finally:
            looking.cancel()

    execute_cell = run_sync(async_execute_cell)

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(AGAIN)
            # not 0, which asks without waking those who wait
            await self.kc.shell_channel.socket.poll(timeout=1)


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, start_timeout=60, extra_arguments=(),
                                 **others):  # fmt: skip  # noqa: ANN001, ANN003, ANN206
        return _Client(nb_man, kernel_name=kernel_name, startup_timeout=start_timeout,
                       extra_arguments=list(extra_arguments)).execute()  # fmt: skip


papermill_engines.register(ENGINE, _Engine)


def execute(path: Path, values: dict, out: Path, progress: bool = False, **entries: object) -> Path:
    """Run a notebook with checked parameters into the folder `out`, which appears whole or not at
    all; what a failed run had written is kept in `out`.failed, with its error in error.txt.
    `entries` go into the manifest.

    The notebook finds its folder in the environment variable FREQKD_RUN.
    """
    check_kernel()
    asked, out = out, out.absolute()  # for the kernel works in the notebook's folder
    failed, start = out.with_name(out.name + ".failed"), time.monotonic()
    with whole_folder(out) as beside:
        saved = dict(os.environ)
        # Progress bars would be stored as widgets without a use; this run has its own.
        os.environ.update(FREQKD_RUN=str(beside), TQDM_DISABLE="1")
        for name in FOLDERS & os.environ.keys():  # the kernel works in the notebook's folder
            os.environ[name] = str(Path(os.environ[name]).expanduser().absolute())
        problem = None
        try:
            papermill.execute_notebook(
                path,
                beside / NOTEBOOK,
                values,
                kernel_name="python3",
                language="python",
                cwd=path.parent,
                progress_bar=progress,
                engine_name=ENGINE,
                extra_arguments=["--IPKernelApp.log_level=40"],
            )
        except PapermillExecutionError as error:
            # papermill counts the cells from 0 as the file holds them.
            said = error.evalue if error.ename == "UserError" else f"{error.ename}: {error.evalue}"
            problem = f"Cell {error.cell_index} of {path.stem} failed: {said.strip()}"
        except DeadKernelError:
            problem = f"The kernel of {path.stem} was ended from outside, perhaps for its memory"
        finally:
            os.environ.clear()
            os.environ.update(saved)
        if problem is None:
            hidden = hidden_errors(nbformat.read(beside / NOTEBOOK, 4))
            problem = f"{path.stem} hides an error: {hidden[0]}" if hidden else None
        if problem:
            (beside / ERROR).write_text(problem + "\n")
            with whole_folder(failed) as kept:  # until now what an earlier try had left stood there
                shutil.copytree(beside, kept, dirs_exist_ok=True)
            raise UserError(f"{problem} (as far as it came: {failed / NOTEBOOK})")
        own_manifest = beside / MANIFEST
        told = json.loads(own_manifest.read_text()) if own_manifest.exists() else {}
        seconds = round(time.monotonic() - start, 1)
        mine = manifest(notebook=path.stem, parameters=values, seconds=seconds, **entries)
        write_json(own_manifest, mine | told | {"seconds": seconds})
    shutil.rmtree(failed, ignore_errors=True)
    return asked


def _checksum(paths: Iterable[Path]) -> str:
    return digest(f"{path.name} {sha256_file(path)}" for path in sorted(paths))


def _fingerprint(names: str, split: str, root: Path | None) -> str | None:
    """That of a split of one or several data sets, None where it can't be read: the notebook itself
    says what is missing. The size is any, for the parameters tell it."""
    from freqkd_lite.data import open_sets  # torch takes seconds

    try:
        return open_sets(names, split, root=root).fingerprint()
    except (UserError, OSError):
        return None


def _data(path: Path, chosen: dict, seen: dict) -> dict[str, str | None]:
    """The fingerprints of all splits that a notebook may read: of `dataset` the one to train on and
    its parameter `split`, of `distil_dataset` the one to train on."""
    # The notebook runs in its own folder, so a relative root begins there.
    root = (
        path.parent.absolute() / Path(chosen["root"]).expanduser() if chosen.get("root") else None
    )
    splits = {"dataset": dict.fromkeys(("train", chosen.get("split") or "train")),
              "distil_dataset": ("train",)}  # fmt: skip
    found = {}
    for parameter, of in splits.items():
        for split in of if chosen.get(parameter) else ():
            key = (chosen[parameter], split, root)
            if key not in seen:
                seen[key] = _fingerprint(*key)
            found[f"{parameter} {split}"] = seen[key]
    return found


def address(path: Path, values: dict, numbers_only: bool = False, seen: dict | None = None) -> str:
    """The key of an executed notebook: its source, its parameters, the content of data and weights,
    and all else that its page follows from: the package's files, the committed results, what is
    installed.

    `numbers_only` is a sweep's: `RECIPE` stands for the package, and what changes no measured
    number is left out (Markdown, results, libraries that compute nothing). Addresses that are
    asked for together may share `seen`, so that data are read once."""
    from freqkd_lite.features import find_weights  # torch takes seconds

    cells = nbformat.read(path, 4).cells
    chosen = {name: known.default for name, known in parameters(path).items()} | values
    given = chosen.get("weights")
    if given and given != "random":  # relative to the notebook's folder, as it will find them
        given = path.parent.absolute() / Path(given).expanduser()
    weights = None if given == "random" else find_weights(chosen.get("model", ""), given)
    content = {
        "parameters": chosen,
        "data": _data(path, chosen, {} if seen is None else seen),
        "weights": sha256_file(weights) if weights else None,
        "python": sys.version,
    }
    if numbers_only:
        return run_key(
            content
            | {
                "source": [cell.source for cell in cells if cell.cell_type == "code"],
                "recipe": RECIPE,
                "installed": {name: importlib.metadata.version(name) for name in VERSIONS},
            }
        )
    results = path.parent.parent / "results"
    shipped = [p for kind in ("**/*.py", "**/*.js", "assets/*") for p in PACKAGE.glob(kind)]
    return run_key(
        content
        | {
            "source": [(cell.cell_type, cell.source) for cell in cells],
            "package": _checksum(p for p in shipped if p.is_file()),
            "results": _checksum(p for p in results.glob("**/*.json") if p.name != TIMES.name),
            "installed": {d.name: d.version for d in importlib.metadata.distributions()},
        }
    )


def measured_times(root: Path) -> dict[str, float]:
    """Seconds that each notebook took when the committed outputs were made; {} if unknown."""
    file = root / TIMES
    return json.loads(file.read_text())["seconds"] if file.exists() else {}


def tidy(notebook: nbformat.NotebookNode, root: Path) -> nbformat.NotebookNode:
    """An executed notebook as it is committed: outputs kept, all that names a machine, a time or a
    lost widget's state removed. Run `hidden_errors` before: afterwards there is nothing to find."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        kept = {key: cell.metadata[key] for key in ("tags", "alt") if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(kept)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if {"text/html", "image/png", "image/jpeg"} & set(data):
                data.pop("application/vnd.jupyter.widget-view+json", None)
            for holder in (data, output):
                for key, value in holder.items():
                    if isinstance(value, str) and not key.startswith("image/"):
                        value = value.replace(str(root), ".").replace(str(Path.home()), "~")
                        holder[key] = re.sub(r"\b0x[0-9a-f]{8,}\b", "0x0", value)
    return notebook
