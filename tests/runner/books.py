"""Small notebooks for the tests of this folder."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell as code, new_markdown_cell as text, new_notebook, new_output

__all__ = ["code", "new_notebook", "new_output", "settings", "text", "write"]

PARAMETERS = """seed: int = 3
rate: float = 1e-3
methods: list[str] = ["mse", "freqkd_code"]
size: list[int] = [168, 224]
fast: bool = True
root: str = "" """
DATA = """dataset: str = "here"
distil_dataset: str = ""
root: str = ""
split: str = "val" """


def settings(source: str = PARAMETERS):
    """A notebook's cell of parameters."""
    return code(source, metadata={"tags": ["parameters"]})


def write(folder: Path, name: str, cells: list) -> Path:
    """Write a notebook of these cells."""
    path = folder / f"{name}.ipynb"
    about = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=cells, metadata=about), path)
    return path
