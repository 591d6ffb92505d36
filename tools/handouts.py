"""Write the handouts of the lesson, `make handouts`: all pages, the exercises, and a first page, in
one zip that opens from a USB stick.

    python -m tools.handouts [FILE.zip]

Pages are those of the last walk; what it has none of is made of the committed notebooks.
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import nbformat

from freqkd_lite.runner.pages import text_page, write_index, write_page

ROOT = Path(__file__).parent.parent
TOP = "freqkd-handouts"
START = """# A lesson on FreqKD

Labelled pictures are mostly colour photographs, and a network that learned on them reads a heat
camera's pictures badly. *FreqKD* (arXiv 2606.11572) lets it teach a copy of itself to read
infrared, from pairs of pictures and without a label, by matching slow changes firmly and fast ones
loosely. Here that is taken apart, measured and checked.

Nothing here needs a network; *Change two things*, at the end of each page, and the exercises need
the installed project. Start with [00](notebooks/00_start_here.ipynb), guess before each
answer, and go on at the foot of each page to 05, then to [90](notebooks/90_claims.ipynb).
[All pages](pages/index.html). As slides: [one section a screen](pages/00_start_here.html#present);
the arrow keys lead from page to page, Escape leaves.

## Exercises

Functions to write, after the page of the same number. Read them here. To write them, copy the
folder `exercises` and open its notebooks in Jupyter, where the project is installed.

"""


def as_markdown(notebook: Path) -> str:
    """A notebook's text and code, without its outputs."""
    cells = nbformat.read(notebook, 4).cells
    form = {"markdown": "{}", "code": "```python\n{}\n```"}
    return "\n\n".join(form[cell.cell_type].format(cell.source) for cell in cells)


def write(out: Path, pages: Path = ROOT / "pages") -> Path:
    """Write the zip, and return its path."""
    with tempfile.TemporaryDirectory() as folder, ZipFile(out, "w", ZIP_DEFLATED) as bundle:
        made = Path(folder)
        own = shutil.copytree(pages, made / "pages") if pages.is_dir() else made / "pages"
        for notebook in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
            if not (own / f"{notebook.stem}.html").exists():
                write_page(ROOT, notebook, notebook.stem, own)
        write_index(ROOT, own)
        for page in sorted(own.glob("*.html")):
            bundle.write(page, f"{TOP}/pages/{page.name}")
        texts = "".join(page.read_text() for page in own.glob("*.html"))
        for result in sorted({*re.findall(r'href="\.\./(results/[^"#]+)', texts)}):
            bundle.write(ROOT / result, f"{TOP}/{result}")
        listed = []
        for file in sorted((ROOT / "exercises").glob("*.*")):
            bundle.write(file, f"{TOP}/exercises/{file.name}")
            if file.suffix == ".ipynb":
                text = made / f"{file.stem}.md"
                text.write_text(as_markdown(file))
                page = text_page(text, "../START_HERE.html", "../pages/")
                bundle.writestr(f"{TOP}/exercises/{file.stem}.html", page)
                title = re.search(r"^# (.+)$", text.read_text(), re.M)[1]
                listed.append(f"- [{title}](exercises/{file.stem}.html)")
        start = made / "start.md"
        start.write_text(START + "\n".join(listed))
        bundle.writestr(f"{TOP}/START_HERE.html", text_page(start, notebooks="pages/"))
    return out


if __name__ == "__main__":
    print(f"Wrote {write(Path((sys.argv[1:] or ['handouts.zip'])[0]))}")
