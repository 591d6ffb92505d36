"""Running one notebook: papermill, then a search for errors that hide in outputs and widgets."""

import asyncio
import importlib.metadata
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import papermill
from bs4 import BeautifulSoup
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from freqkd_lite import store
from freqkd_lite.errors import LESS, UserError, out_of_memory
from freqkd_lite.runner.parameters import PATHS, from_here, parameters

NOTEBOOK, MANIFEST, ERROR = "notebook.ipynb", "manifest.json", "error.txt"
FOLDERS = {"FREQKD_RUNS", "FREQKD_CACHE", "FREQKD_DATA", "FREQKD_WEIGHTS"}
TRACEBACK = "Traceback (most recent call last)"
ENGINE = "freqkd"  # papermill's name of `Engine`
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def hidden_errors(notebook: NotebookNode) -> list[str]:
    """Errors in a notebook's outputs and in its widgets' saved state, one sentence each.

    A failing callback of `interact` or `Output` leaves the exit status of an execution at 0.
    """
    found = []

    def search(node: object, place: str) -> None:
        if isinstance(node, dict) and node.get("ename"):
            found.append(f"{place}: {node['ename']}: {node.get('evalue', '')}")
        elif isinstance(node, dict | list):
            for child in node.values() if isinstance(node, dict) else node:
                search(child, place)
        elif isinstance(node, str) and TRACEBACK in node:
            found.append(f"{place}: {node.strip().splitlines()[-1]}")

    for number, cell in enumerate(notebook.cells):
        search(cell.get("outputs", []), f"cell {number}")
    search(notebook.metadata.get("widgets", {}), "a widget's callback")
    return found


class Client(PapermillNotebookClient):
    """papermill's client, which may wait for ever for a reply that has arrived: an Output widget
    makes it send while it waits, which consumes the socket's sign of an arrival
    (github.com/jupyter/nbclient/issues/312). So this one polls the socket each second."""

    def create_kernel_manager(self) -> KernelManager:
        manager = super().create_kernel_manager()
        # Without folders of others it knows one kernel, which runs this very Python.
        manager.kernel_spec_manager = KernelSpecManager(kernel_dirs=[])
        return manager

    async def async_execute_cell(self, *cell: Any, **options: Any) -> NotebookNode:
        polling = asyncio.ensure_future(self.poll())
        try:
            return await super().async_execute_cell(*cell, **options)
        finally:
            polling.cancel()

    execute_cell = run_sync(async_execute_cell)

    async def poll(self) -> None:
        while self.kc:
            await asyncio.sleep(1)
            # A timeout of 0 would ask without waking those who wait.
            await self.kc.shell_channel.socket.poll(timeout=1)


class Engine(NBClientEngine):
    """papermill's engine with our client; `kernel` goes to the kernel's process (env, cwd)."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, kernel=None, **others):
        quiet = ["--IPKernelApp.log_level=40"]
        # A kernel that is asked to end while it works prints tracebacks.
        about = {"extra_arguments": quiet, "shutdown_kernel": "immediate"}
        Client(nb_man, kernel_name=kernel_name, **about).execute(**kernel or {})


papermill_engines.register(ENGINE, Engine)


def execute(path: Path, values: dict, out: Path, progress: bool = False, **entries: object) -> Path:
    """Run a notebook with checked parameters into the folder `out`, which appears whole or not at
    all; returns it. `entries` go into the manifest.

    `UserError` if it fails; then `out`.failed holds what had been written, with the error in
    error.txt. The notebook finds its folder in the environment variable FREQKD_RUN.
    """
    values, start, final = from_here(values), time.monotonic(), out.absolute()
    failed = final.with_name(final.name + ".failed")
    with store.whole_folder(final) as folder:
        problem = _run(path, values, folder, progress)
        if problem:
            (folder / ERROR).write_text(problem + "\n", "utf-8")
            try:
                with store.whole_folder(failed) as copy:  # replaces an earlier try only now
                    shutil.copytree(folder, copy, dirs_exist_ok=True)
            except shutil.Error:  # a full disk
                raise UserError(problem) from None
            raise UserError(f"{problem} (partial notebook: {failed / NOTEBOOK})")
        file = folder / MANIFEST
        written = json.loads(store.read_text(file)) if file.exists() else {}
        about = store.manifest(notebook=path.stem, parameters=values, **entries)
        seconds = round(time.monotonic() - start, 1)
        store.write_json(file, about | written | {"seconds": seconds})
    shutil.rmtree(failed, ignore_errors=True)
    return out


def _run(path: Path, values: dict, folder: Path, progress: bool) -> str | None:
    """Run the notebook into `folder`; what went wrong, or None."""
    # A notebook would keep progress bars as dead widgets.
    env = os.environ | {"FREQKD_RUN": str(folder), "TQDM_DISABLE": "1"}
    for name in FOLDERS & env.keys():  # the kernel works in the notebook's folder
        env[name] = str(Path(env[name]).expanduser().absolute())
    try:
        papermill.execute_notebook(
            path,
            folder / NOTEBOOK,
            values,
            kernel_name="python3",
            language="python",
            progress_bar=progress,
            engine_name=ENGINE,
            kernel={"env": env, "cwd": str(path.parent.absolute())},
        )
    except PapermillExecutionError as error:
        kind = "" if error.ename == "UserError" else f"{error.ename}: "
        reason = LESS if out_of_memory(f"{kind}{error.evalue}") else f"{kind}{error.evalue.strip()}"
        return f"Cell {error.cell_index} of {path.stem} failed: {reason}"
    except DeadKernelError:
        return f"The kernel of {path.stem} was killed, perhaps for lack of memory"
    hidden = hidden_errors(nbformat.read(folder / NOTEBOOK, 4))
    return f"{path.stem} has an error in an output: {hidden[0]}" if hidden else None


def result(notebook: NotebookNode) -> str:
    """What an executed notebook found, in a line: the last question that it answers, with what was
    measured; else the first line of what its last cell printed that printed anything."""
    asked, found = "", ""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            shown = BeautifulSoup(output.get("data", {}).get("text/html", ""), "html.parser")
            if legend := shown.select_one(".predict legend"):
                asked = legend.get_text().partition(": ")[2]
            if held := shown.select_one(".judgement"):
                found = f"{asked} Measured here: {json.loads(str(held['data-held']))['found']}."
    texts = (o.text for cell in notebook.cells for o in cell.get("outputs", [])[:1] if "text" in o)
    return found or ["", *texts][-1].partition("\n")[0]


def address(path: Path, values: dict) -> str:
    """The key of an executed notebook and its page."""
    return store.run_key(ingredients(path, values, False, {}))


def ingredients(path: Path, values: dict, numbers_only: bool, seen: dict) -> dict:
    """What an executed notebook's address is made of, by name: source, parameters, data, weights,
    and what is installed; without `numbers_only` also text, package and committed results, which
    its page shows. What is asked for together shares `seen`, so that files are read once."""
    chosen = {name: known.default for name, known in parameters(path).items()} | from_here(values)
    key = chosen.get("model", ""), chosen.get("weights")
    if key not in seen and any(key) and key[1] != "random":
        from freqkd_lite.features import find_weights  # torch takes seconds

        file = find_weights(*key)
        seen[key] = store.sha256_file(file) if file else None
    cells = [c for c in nbformat.read(path, 4).cells if "install" not in c.metadata.get("tags", ())]
    content = {
        "parameters": {name: value for name, value in chosen.items() if name not in PATHS},
        "data": _fingerprints(chosen, seen),
        "weights": seen.get(key, key[1] or None),
        "source": [cell.source for cell in cells if cell.cell_type == "code"],
        "recipe": store.RECIPE,
        "python": sys.version,
        "installed": {name: importlib.metadata.version(name) for name in store.VERSIONS},
    }
    if not numbers_only:
        results = (path.parent.parent / "results").rglob("*.[cjy]*")  # CSV, JSON, YAML
        shown = [file for file in results if file.name != store.TIMES.name]
        for end in ("py", "js", "j2", "css"):
            shown += store.PACKAGE.rglob(f"*.{end}")
        content["text"] = [cell.source for cell in cells if cell.cell_type == "markdown"]
        content["tags"] = [cell.metadata.get("tags") for cell in cells]
        sums = (f"{file.name} {store.sha256_file(file)}" for file in sorted(shown))
        content["shown"] = store.digest(sums)
    return content


def _fingerprints(chosen: dict, seen: dict) -> list[str | None]:
    """Of all splits that a notebook may read: of `dataset` those to train and to test on, of
    `distil_dataset` the one to train on. None for one that can't be read, about which the notebook
    itself raises the error."""
    names, root = chosen.get("dataset"), chosen.get("root") or None
    wanted = [(names, "train", root), (names, chosen.get("split", "train"), root)]
    wanted += [(chosen.get("distil_dataset"), "train", root)]
    wanted = [key for key in wanted if key[0]]
    for key in wanted:
        if key not in seen:
            from freqkd_lite.data import open_sets  # torch takes seconds

            try:
                seen[key] = open_sets(key[0], key[1], root=root).fingerprint()
            except (UserError, OSError):
                seen[key] = None
    return [seen[key] for key in wanted]


def tidy(notebook: NotebookNode, root: Path) -> NotebookNode:
    """An executed notebook as it is committed: with outputs, without what names a machine, a time
    or a lost widget's state. Call `hidden_errors` before: afterwards there is nothing to find."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    about = {"kernelspec": kernel, "language_info": {"name": "python"}}
    notebook.metadata = nbformat.from_dict(about)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        allowed = ("tags", "alt", "jupyter")  # the last hides a cell's source in JupyterLab
        allowed = {key: cell.metadata[key] for key in allowed if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(allowed)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if {"text/html", "image/png", "image/jpeg"} & set(data):
                data.pop(WIDGET_VIEW, None)
            for holder in (data, output):
                for key, value in holder.items():
                    if isinstance(value, str) and not key.startswith("image/"):
                        value = value.replace(str(root), ".").replace(str(Path.home()), "~")
                        holder[key] = re.sub(r"\b0x[0-9a-f]{8,}\b", "0x0", value)
    return notebook
