"""Everything once, on anyone's pairs: check, gap, a short distillation, and one report about them.

Each step keeps what it made in the runs folder, addressed by its content, so a demo that was
stopped goes on where it was, and one that is given again only writes its report.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from freqkd_lite import data
from freqkd_lite.data import check as checks
from freqkd_lite.distil import DistilSettings, Run, distil, settings_from
from freqkd_lite.errors import UserError
from freqkd_lite.features import Backbone, crop_size, crop_to_patch, extract, load_backbone
from freqkd_lite.gap import DEFAULT_MODEL, default_layers, measure
from freqkd_lite.gap import report as gap_report
from freqkd_lite.gap.controls import Views, pairing, spread
from freqkd_lite.losses import normalise
from freqkd_lite.names import method_name
from freqkd_lite.results.pages import ReportPage
from freqkd_lite.results.rows import SCHEMA, Row, as_json
from freqkd_lite.store import manifest, write_json
from freqkd_lite.viz import check as shown
from freqkd_lite.viz.students import before_and_after, side_by_side
from freqkd_lite.viz.style import style

QUESTION = "Did a student of infrared come nearer to its RGB teacher?"
SIZE, CROP = (252, 336), (140, 168)  # pixels
MOST, SHOWN = 40, 3  # pairs that are measured, and that are shown as pictures
BATCH, LORA_RANK = 8, 16
BAND = gap_report.BAND


@pairing
def undistilled(views: Views) -> tuple[list[Tensor], list[Tensor]]:
    """The teacher on RGB and on infrared, normalised as the losses do."""
    return _normalised(views("visible")), _normalised(views("infrared"))


@pairing
def distilled(views: Views) -> tuple[list[Tensor], list[Tensor]]:
    """The teacher on RGB and the student on infrared, normalised as the losses do."""
    return _normalised(views("visible")), _normalised(views("infrared", by=views.student))


def _normalised(maps: list[Tensor]) -> list[Tensor]:
    return [normalise(m) for m in maps]


def check(options: dict[str, str]) -> checks.Report:
    """`freqkd data check` of the pairs before anything is computed; `UserError` at a problem."""
    report = checks.check("folder", **options)
    if report.problems:
        first, more = report.problems[0], len(report.problems) - 1
        raise UserError(
            first.sentence + (f" ({more} more: freqkd data check lists them.)" if more else "")
        )
    return report


def recipe(options: dict[str, str], teacher: Backbone, weights: str | None, loss: str,
           steps: int) -> DistilSettings:  # fmt: skip
    """The short distillation of a demo. LoRA where the model is a vision transformer, else the
    whole network is trained."""
    size = crop_to_patch(SIZE, teacher.patch)
    return settings_from(
        dataset="folder", data_options=options, size=size, crop=crop_size(CROP, teacher.patch),
        teacher=teacher.name, teacher_weights=weights, blocks=default_layers(teacher.depth),
        loss=loss, steps=steps, batch=BATCH, warmup=min(10, steps // 4),
        lora_rank=LORA_RANK if isinstance(teacher.net, VisionTransformer) else 0,
    )  # fmt: skip


def expected_minutes(teacher: Backbone, settings: DistilSettings) -> float:
    """Minutes of the distillation, from one forward of the teacher: a step is about four of them
    (the teacher's, the student's, and its backward pass, which is worth two)."""
    images = torch.zeros(settings.batch, 3, *settings.crop)
    extract(teacher, images[:1], settings.blocks)
    begin = time.perf_counter()
    extract(teacher, images, settings.blocks)
    return settings.steps * 4 * (time.perf_counter() - begin) / 60


def demo(
    visible: str | Path,
    infrared: str | Path,
    model: str | None = None,
    weights: str | None = None,
    out: str | Path = "demo",
    steps: int = 60,
    loss: str = "code",
    pictures: bool = True,
    command: str = "freqkd demo",
    progress: bool = True,
) -> Path:
    """Make `out`/report.html and report.json; returns the page.

    `pictures=False` draws figures from features alone: a data set's own pictures may not be handed
    on. Raises `UserError` for what is wrong with the folders, the model or `out`.
    """
    out = Path(out)
    if out.is_file():
        raise UserError(f"--out {out} is a file: name a folder.")
    options = {k: os.fspath(v) for k, v in (("visible", visible), ("infrared", infrared))}
    _say(1, "checking the pairs")
    checked = check(options)
    print(shown.answer(checked), flush=True)
    teacher = load_backbone(model or DEFAULT_MODEL, weights).freeze()
    settings = recipe(options, teacher, weights, loss, steps)
    everything, held = (data.load("folder", s, settings.size, **options) for s in ("all", "val"))
    blocks, about = settings.blocks, {"progress": progress, "seed": settings.seed}
    _say(2, f"the gap of {min(MOST, len(everything))} pairs")
    found = measure(everything, teacher, blocks, count=min(MOST, len(everything)), **about)
    print(gap_report.answer(found), flush=True)
    _say(3, f"distilling: {steps} steps of {BATCH} crops of {settings.crop[0]}x{settings.crop[1]} "
         f"pixels, about {max(1, round(expected_minutes(teacher, settings)))} min if it is not "
         "finished yet")  # fmt: skip
    run = distil(settings, progress=progress)
    student = run.student()
    count = min(MOST, len(held))
    _say(4, f"teacher and student on {count} held-out pairs")
    learned = measure(held, teacher, blocks, ("distilled", "undistilled"), count, student, **about)
    print(answer(learned), flush=True)
    page = ReportPage(QUESTION, answer(learned))
    page.text(*gap_report.caution(learned))
    with plt.rc_context():
        style()
        page.figure(*before_and_after(learned, {"undistilled": "none", "distilled": loss}))
        page.section("What they see")
        page.figure(*_pictures(held, teacher, student, blocks[-1], pictures))
    page.text("Equal colours are equal features: red, green and blue are the three principal "
              f"components of the teacher's features of RGB, block {blocks[-1]}, and all columns "
              "are drawn in that one basis.")  # fmt: skip
    page.section("How near, by block")
    page.table(*distance_table(learned), caption="Divergence from the teacher on RGB at low (rho "
               "up to .25) and high (from .75) spatial frequency, on held-out pairs: 0 the teacher "
               "itself, 1 unrelated.")  # fmt: skip
    page.section(gap_report.QUESTION)
    page.text(gap_report.answer(found))
    gap_report.add_answer(page, found)
    gap_report.add_levels(page, found)
    gap_report.add_pictures(page, found)
    page.section("The pairs")
    page.text(f"{shown.answer(checked)}.")
    page.bullets(shown.notices(checked))
    page.table(("what", "found"), shown.facts(checked))
    page.section("How it was done")
    gap_report.add_methods(page, found)
    page.bullets(_methods(run, learned, len(held)))
    page.code(command)
    facts = map(": ".join, shown.facts(checked))
    said = [shown.answer(checked), *shown.notices(checked), *facts]
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "report.json", {
        "schema": SCHEMA, "rows": as_json(rows(found, learned, loss)),
        "manifest": manifest(command=command, settings=_public(settings), check=said,
                             weights=teacher.checksum, training=run.manifest.get("seconds"),
                             data={s: d.fingerprint() for s, d in (("all", everything),
                                                                   ("val", held))}),
        "gap": found, "distilled": learned,
    })  # fmt: skip
    return page.write(out / "report.html")


def answer(learned: dict) -> str:
    """The answer to `QUESTION` in one sentence, by the intervals of distilled less undistilled."""
    change = gap_report.pick(learned, "contrasts", band=BAND, metric="normalised",
                             pairing="undistilled")  # fmt: skip
    before, after = (gap_report.pick(learned, band=BAND, metric="normalised", pairing=p)
                     for p in ("undistilled", "distilled"))  # fmt: skip
    spans = {level: change[f"{level}_interval"] for level in ("low", "high")}
    moved = {k: "nearer" if span[1] < 0 else "farther off" if span[0] > 0 else "no nearer"
             for k, span in spans.items()}  # fmt: skip
    gains = list(moved.values()).count("nearer")
    said = [f"{word} at {level} spatial frequency ({before[level]:.2f} before, {after[level]:.2f} "
            "after)" for level, word in moved.items()]  # fmt: skip
    return (
        f"{('No', 'In one band', 'Yes')[gains]}: in energy-normalised divergence it came "
        f"{' and '.join(said)}; {after['n']} held-out pairs, mean over "
        f"{gap_report.blocks_said(learned)}."
    )


def distance_table(learned: dict) -> tuple[list[str], list[list[str]]]:
    """Head and rows: low and high by block and averaged, before and after."""
    rows = []
    for block in [*learned["layers"], "mean"]:
        where = {"band": BAND, "metric": "normalised"} | ({} if block == "mean" else
                                                          {"block": block})  # fmt: skip
        table = "summary" if block == "mean" else "rows"
        before, after = (gap_report.pick(learned, table, **where, pairing=p)
                         for p in ("undistilled", "distilled"))  # fmt: skip
        cells = [f"{e[level]:.2f}" for level in ("low", "high") for e in (before, after)]
        rows.append([str(block), *cells])
    return ["block", "low, before", "low, after", "high, before", "high, after"], rows


def rows(found: dict, learned: dict, loss: str) -> list[Row]:
    """Both measurements in the results' schema: arms are pairings, "none" and the loss."""
    out, arms = [], {"undistilled": "none", "distilled": loss}
    for measured, metric in ((found, "divergence"), (learned, "divergence_band")):
        about = {"seed": measured["seed"], "data": "folder", "split": measured["data"]["split"],
                 "claim": "gap_ratio" if measured is found else "walk"}  # fmt: skip
        for entry in measured["summary"]:
            if (entry["band"], entry["metric"]) != (BAND, "normalised"):
                continue
            about |= {"arm": arms.get(entry["pairing"], entry["pairing"]), "n": entry["n"]}
            out += [Row(metric=metric, klass=level, value=entry[level],
                        interval=entry[f"{level}_interval"], **about)
                    for level in ("low", "high")]  # fmt: skip
            if measured is found:
                out.append(Row(metric="divergence_ratio", value=entry["ratio"],
                               interval=entry["interval"], **about))  # fmt: skip
    return out


def _pictures(held: data.PairSet, teacher: Backbone, student: Backbone, block: int, pictures: bool):
    shown = spread(len(held), min(SHOWN, len(held)))
    rgb, heat = (data.stack(held, kind, shown) for kind in ("visible", "infrared"))
    sides = {"teacher on RGB": (teacher, rgb), "undistilled": (teacher, heat),
             "distilled": (student, heat)}  # fmt: skip
    maps = {k: normalise(extract(net, seen, [block])[0]) for k, (net, seen) in sides.items()}
    photographs = {"RGB": rgb, "infrared": heat} if pictures else None
    return side_by_side([held.names[i] for i in shown], maps, block, photographs)


def _methods(run: Run, learned: dict, held: int) -> list[str]:
    settings = run.settings
    trained = f"LoRA of rank {settings.lora_rank}" if settings.lora_rank else "whole network"
    return [
        f"Distillation: teacher on RGB, student of the same weights on infrared; "
        f"{settings.steps} steps of {settings.batch} random crops of {settings.crop[0]}x"
        f"{settings.crop[1]} pixels from the split 'train'; loss {method_name(settings.loss)}; "
        f"{trained}, AdamW, learning rate {settings.lr:g}, seed {settings.seed}.",
        f"Student measured on {learned['pairs']} of {held} pairs of the split 'val', none of which "
        "it was trained on; features less each channel's mean over space, and each token of norm "
        "1, as the losses see them; mean over pairs.",
    ]


def _public(settings: DistilSettings) -> dict:
    return settings.model_dump(mode="json", exclude={"root", "data_options", "teacher_weights"})


def _say(step: int, what: str) -> None:
    print(f"[{step}/4] {what}", flush=True)
