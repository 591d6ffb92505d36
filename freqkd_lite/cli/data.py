"""`freqkd data`: list, check and download data sets."""

import os
import shutil
import textwrap
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from freqkd_lite.cli import out_option
from freqkd_lite.errors import UserError, check_known, plain

data = typer.Typer(help="Data sets: list, check, get.", no_args_is_help=True, rich_markup_mode=None)
Root = Annotated[Path | None, Option(metavar="DIR", help="Data folder [FREQKD_DATA].")]
Name = Annotated[str, Argument(metavar="NAME", help="See `freqkd data list`.")]


@data.command("list")
def list_command() -> None:
    """One line per data set: what it has, and where it is on this machine."""
    from freqkd_lite.data.catalogue import CATALOGUE, find

    for name, entry in CATALOGUE.items():
        typer.echo(f"{name:10} {entry.has:27} {find(name)}")


@data.command()
def describe(name: Name) -> None:
    """What a data set is, its licence, whom to cite, and how to get it."""
    from freqkd_lite.data.catalogue import find

    entry = _entry(name)
    rows = {"what": entry.about}
    rows |= {key: getattr(entry, key) for key in ("has", "size", "licence", "cite", "origin")}
    rows |= {"get it": entry.how or f"freqkd data get {name}"}
    rows |= {"loader": entry.loader, "here": find(name)}
    if entry.source is not None:
        rows["checked"] = entry.source.verified
    width = min(shutil.get_terminal_size().columns, 100)
    lines = textwrap.TextWrapper(width, subsequent_indent=" " * 8, break_on_hyphens=False)
    for what, text in rows.items():
        typer.echo(lines.fill(f"{what:8}{text}"))


@data.command()
def check(
    name: Name,
    root: Root = None,
    visible: Annotated[Path | None, Option(metavar="DIR", help="RGB, for `folder`.")] = None,
    infrared: Annotated[Path | None, Option(metavar="DIR", help="Infrared, for `folder`.")] = None,
    boxes: Annotated[Path | None, Option(metavar="PATH", help="Boxes, for `folder`.")] = None,
    split: Annotated[str, Option(metavar="NAME", help="One split only.")] = "all",
    limit: Annotated[int | None, Option(metavar="N", help="The first N pairs only.")] = None,
    html: Annotated[Path | None, out_option("FILE", "Also write a page with pictures.")] = None,
) -> None:
    """Check every picture and box of a set; exit status 1 if it can't be loaded."""
    from freqkd_lite.data import REGISTRY
    from freqkd_lite.data.check import check as check_set
    from freqkd_lite.viz import check as shown

    if name not in REGISTRY:
        raise UserError(f"{name} can't be checked by name. Loader: {_entry(name).loader}.")
    given = {"visible": visible, "infrared": infrared, "boxes": boxes}
    # With a root, paths are relative to it; in a shell they are relative to the current folder.
    options = {key: path.absolute() for key, path in given.items() if path is not None}
    report = check_set(name, root, split, limit, **options)
    typer.echo(plain(shown.as_text(report)))
    if html is not None:
        typer.echo(f"\nLook at {shown.write_page(report, html)}")
    if report.problems:
        raise typer.Exit(1)


@data.command()
def get(
    name: Name, root: Root = None, yes: Annotated[bool, Option("--yes", help="Don't ask.")] = False
) -> None:
    """Download a freely available data set; resumes."""
    from freqkd_lite.data import download

    entry = _entry(name)
    if entry.source is None:
        raise UserError(f"{name} can't be downloaded by a command: {entry.how}")
    place = root or Path(os.environ.get("FREQKD_DATA") or Path.home() / ".local/share/freqkd")
    if not (place / name).exists():
        typer.echo(f"{name}: {entry.size}, from {entry.origin}\nLicence: {entry.licence}")
        typer.echo(f"Cite: {entry.cite}\nTo: {place / name}")
        if not yes and not typer.confirm("Download?"):
            raise typer.Exit(1)
    where = download.get(name, entry.source, place)
    typer.echo(f"{where} is complete. {entry.source.verified}")


def _entry(name: str):
    from freqkd_lite.data.catalogue import CATALOGUE

    check_known("data set", CATALOGUE, name)
    return CATALOGUE[name]
