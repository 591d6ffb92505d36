"""The whole method on a user's own pairs: check, gap, a short distillation, and one report.

Each step stores its results in the runs folder, addressed by content, so an interrupted demo
continues where it stopped, and a repeated one only writes its report.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from freqkd_lite import data
from freqkd_lite.data import check as checks
from freqkd_lite.distil import DistilSettings, Run, distil, settings_from
from freqkd_lite.distil.run import STUDENT
from freqkd_lite.errors import UserError
from freqkd_lite.evaluate import groups, probe
from freqkd_lite.evaluate.stats import paired_bootstrap
from freqkd_lite.features import Backbone, crop_size, extract, load_backbone
from freqkd_lite.gap.controls import Control, Maps
from freqkd_lite.gap.study import ANALYSIS, DEFAULT_MODEL, Gap, default_blocks, measure
from freqkd_lite.gap.tables import MEAN, select
from freqkd_lite.losses import normalise
from freqkd_lite.results import gap_tables as tables
from freqkd_lite.results.labels import METRIC
from freqkd_lite.results.pages import ReportPage
from freqkd_lite.results.rows import SCHEMA, Row, as_json
from freqkd_lite.results.text import number, table, verdict
from freqkd_lite.store import check_place, manifest, write_json
from freqkd_lite.viz import check as pairs_page, study
from freqkd_lite.viz.students import before_and_after, side_by_side
from freqkd_lite.viz.style import style

QUESTION = "Did an infrared student come closer to its RGB teacher?"
SIZE, CROP = (252, 336), (140, 168)  # pixels
MOST, SHOWN = 40, 3  # pairs that are measured, and that are shown as pictures
BATCH, LORA_RANK = 8, 16
HELD = 20  # held-out pairs, below which there is no verdict: two outliers would decide it


def _normalised(rgb: list[Tensor], infrared: list[Tensor]) -> Maps:
    return [*map(normalise, rgb)], [*map(normalise, infrared)]


STUDENTS = {
    "distilled": Control(
        "The teacher on RGB and the student on infrared.",
        lambda views: _normalised(views.visible, views(views.images["infrared"], by=views.student)),
    ),
    "undistilled": Control(
        "The teacher on RGB and on infrared.",
        lambda views: _normalised(views.visible, views.infrared),
    ),
}
"""Both normalise features as the losses do: without each channel's mean, each token of norm 1."""
PAIR = ("undistilled", "distilled")


def check(options: dict[str, Any]) -> checks.Report:
    """`freqkd data check` of the pairs before anything is computed; `UserError` at a problem."""
    report = checks.check("folder", **options)
    if report.problems:
        more = len(report.problems) - 1
        rest = f" ({more} more: freqkd data check lists them.)" if more else ""
        raise UserError(report.problems[0].sentence + rest)
    return report


def recipe(
    options: dict[str, Any], teacher: Backbone, weights: str | None, loss: str, steps: int
) -> DistilSettings:
    """The short distillation of a demo. LoRA where the model is a vision transformer, else the
    whole network is trained."""
    return settings_from(
        dataset="folder",
        data_options=options,
        size=teacher.crop(SIZE),
        crop=crop_size(CROP, teacher.patch),
        teacher=teacher.name,
        teacher_weights=weights,
        blocks=default_blocks(teacher.depth),
        loss=loss,
        steps=steps,
        batch=BATCH,
        warmup=min(10, steps // 4),
        lora_rank=LORA_RANK if isinstance(teacher.net, VisionTransformer) else 0,
    )


def held_out(options: dict[str, Any], size: tuple[int, int]) -> data.PairSet:
    """The pairs of val, or of test where val has fewer than the two that are needed."""
    for split in ("val", "test"):
        if len(found := data.load("folder", split, size, **options)) > 1:
            return found
    raise UserError("Neither val nor test holds 2 pairs: give 8 pairs or more.")


def levels(learned: Gap, block: int | str = MEAN) -> list[dict]:
    """Divergence from the teacher before and after."""
    return [learned.level(name, block=block) for name in PAIR]


def distances(learned: Gap) -> tables.Table:
    """Divergence from the teacher before and after, by block and averaged over blocks."""
    rows = []
    for block in [*learned.about["blocks"], MEAN]:
        both = levels(learned, block)
        for level in tables.ENDS:
            cells = [number(each[level], each[f"{level}_interval"]) for each in both]
            rows.append([str(block), level, *cells])
    return ["block", "band", "undistilled", "distilled"], rows


def answer(learned: Gap) -> str:
    """The answer to `QUESTION`: the verdict in each band, from `HELD` pairs on."""
    change = select(learned.contrasts, metric="normalised", band=ANALYSIS).iloc[0]
    if change["n"] < HELD:
        return too_few(change["n"])
    low, high = (verdict(*change[f"{level}_interval"]) for level in tables.ENDS)
    return (
        f"Divergence from the teacher after distillation: {low} at low, {high} at high spatial "
        f"frequency ({change['n']} held-out pairs)."
    )


def too_few(count: int) -> str:
    """In place of a verdict."""
    return (
        f"No verdict from {count} held-out pairs: {HELD} are needed, so about {5 * HELD} pairs in "
        "all where a fifth is held out."
    )


def most_improved(learned: Gap) -> tuple[int, float]:
    """The block whose divergence fell most, mean of both bands, and by how much."""

    def fall(block: int) -> float:
        before, after = levels(learned, block)
        return sum(before[k] - after[k] for k in tables.ENDS) / 2

    best = max(learned.about["blocks"], key=lambda block: round(fall(block), 6))
    return best, fall(best)


def loading(run: Run) -> str:
    """Five lines that load the student and read an infrared picture with it."""
    settings, file = run.settings, str(run.folder.absolute() / STUDENT)
    places = [f"{k}={os.path.abspath(path)!r}" for k, path in settings.data_options.items()]
    return f"""\
from freqkd_lite.data import load, stack
from freqkd_lite.features import extract, load_backbone
student = load_backbone({settings.student_name!r}, {file!r}).freeze()
pairs = load("folder", "all", {settings.size}, {", ".join(places)})
maps = extract(student, stack(pairs, "infrared", [0]), blocks={settings.own_blocks})"""


Scores = dict[str, probe.ProbeResult]


def label_free(
    train: data.PairSet,
    held: data.PairSet,
    teacher: Backbone,
    student: Backbone,
    blocks: Sequence[int],
) -> Scores:
    """Average precision on held-out pairs of a linear head that was fitted on the teacher's
    features of `train`'s RGB: on RGB, and unchanged on infrared, undistilled and distilled.
    Raises `UserError` where a class has no box in either part."""
    known, truth = (probe.labels_of(pairs, teacher.patch) for pairs in (train, held))
    rgb, heat = (data.stack(held, kind) for kind in ("visible", "infrared"))
    about: Any = {"classes": held.classes, "groups": groups.near_duplicates((rgb, heat))}
    learned = extract(teacher, data.stack(train, "visible"), blocks)
    on_rgb = probe.probe(learned, known, extract(teacher, rgb, blocks), truth, **about)
    scores = {"teacher": on_rgb}
    for name, net in zip(PAIR, (teacher, student), strict=True):
        scores[name] = probe.measure(on_rgb.model, extract(net, heat, blocks), truth, **about)
    return scores


def label_free_answer(scores: Scores) -> str:
    """Whether distillation helped a head that never saw infrared."""
    if scores["teacher"].n["images"] < HELD:
        return too_few(scores["teacher"].n["images"])
    phrase = verdict(*paired_bootstrap(scores["distilled"], scores["undistilled"])[1])
    return (
        f"A head fitted on labelled RGB reads infrared after distillation: {phrase} average "
        f"precision, without one infrared label ({scores['teacher'].n['images']} held-out pairs)."
    )


def label_free_table(scores: Scores) -> tables.Table:
    readers = ("the teacher on RGB", *(f"the {method} student on infrared" for method in PAIR))
    rows = [
        [seen, *(number(of.estimates[k], of.interval[k]) for k in of.estimates)]
        for seen, of in zip(readers, scores.values(), strict=True)
    ]
    return ["RGB head on", *scores["teacher"].estimates], rows


def rows(found: Gap, learned: Gap, scores: Scores, loss: str) -> list[Row]:
    """All measurements as rows of results; methods are controls, "none" and the loss."""
    out = [row for row in tables.rows(found) if row.metric in ("divergence", "divergence_ratio")]
    out = [row for row in out if not row.klass.startswith("block")]
    names = {"teacher": "teacher", "undistilled": "none", "distilled": loss}
    about: Any = dict(claim="walk", data="folder", split=learned.about["data"]["split"])
    about |= dict(seed=learned.about["seed"])
    for name, level in zip(PAIR, levels(learned), strict=True):
        out += tables.band_rows(level, method=names[name], **about | {"metric": "divergence_band"})
    for name, of in scores.items():
        about |= dict(value=of.mean_ap, interval=of.interval["mean"], n=of.n["images"])
        out.append(Row(method=names[name], metric=METRIC, klass="mean", **about))
    return out


def pictures(
    held: data.PairSet, teacher: Backbone, student: Backbone, block: int, photographs: bool
) -> tuple[Figure, str]:
    """The features of a few held-out pairs as colours, beside the pictures where allowed."""
    shown = data.spread(len(held), min(SHOWN, len(held)))
    rgb, heat = (data.stack(held, kind, shown) for kind in ("visible", "infrared"))
    sides = {
        "teacher on RGB": (teacher, rgb),
        "undistilled": (teacher, heat),
        "distilled": (student, heat),
    }
    maps = {k: normalise(extract(net, seen, [block])[0]) for k, (net, seen) in sides.items()}
    beside = {"RGB": rgb, "infrared": heat} if photographs else None
    return side_by_side([held.names[i] for i in shown], maps, block, beside)


def demo(
    visible: str | Path,
    infrared: str | Path,
    model: str | None = None,
    weights: str | None = None,
    out: str | Path = "demo",
    steps: int = 60,
    loss: str = "freqkd_code",
    photographs: bool = True,
    command: str = "freqkd demo",
    boxes: str | Path | None = None,
) -> Path:
    """Make `out`/report.html and report.json; returns the page.

    With `boxes` (as `data.folder` reads them) a head is fitted on RGB and tried on infrared.
    `photographs=False` draws figures from features alone, for data whose pictures must not be
    shared. Raises `UserError` for what is wrong with the folders, the model or `out`.
    """
    out = Path(out)
    check_place(out)
    given = dict(visible=visible, infrared=infrared, boxes=boxes)
    options: Any = {name: os.fspath(path) for name, path in given.items() if path is not None}
    print("[1/4] checking the pairs", flush=True)
    checked = check(options)
    print(pairs_page.answer(checked), flush=True)
    teacher = load_backbone(model or DEFAULT_MODEL, weights).freeze()
    settings = recipe(options, teacher, weights, loss, steps)
    everything = data.load("folder", "all", settings.size, **options)
    held = held_out(options, settings.size)
    blocks, seed = settings.blocks, settings.seed
    print(f"[2/4] gap of {min(MOST, len(everything))} pairs", flush=True)
    found = measure(everything, teacher, blocks, count=min(MOST, len(everything)), seed=seed)
    print(*study.lead(found), sep="\n", flush=True)
    begin = time.perf_counter()
    extract(teacher, torch.zeros(settings.batch, 3, *settings.view_size), blocks)
    # A step is about four of these: the teacher, the student, and its backward pass (as two).
    minutes = max(1, round(4 * steps * (time.perf_counter() - begin) / 60))
    print(f"[3/4] {steps} steps of distillation, at most about {minutes} min", flush=True)
    run = distil(settings)
    student, count = run.student(), min(MOST, len(held))
    print(f"[4/4] teacher and student on {count} held-out pairs", flush=True)
    about: Any = dict(seed=seed, student=student, known=STUDENTS, controls=tuple(STUDENTS))
    learned = measure(held, teacher, blocks, count=count, **about)
    best, fall = most_improved(learned)
    closer = f"Block {best} came closer than any other: by {number(fall)}, mean of both bands."
    changes = [tables.contrasts_table(learned)] if count >= HELD else []  # with their verdicts
    print(answer(learned), *(table(*t) for t in (distances(learned), *changes)), closer, sep="\n")
    scores, read, heads = {}, [], []
    if boxes is not None:
        try:
            train = data.load("folder", "train", settings.size, **options)
            scores = label_free(train, held, teacher, student, blocks[-2:])
            read, heads = [label_free_answer(scores)], [label_free_table(scores)]
        except UserError as error:  # too few boxes: all else stands
            read = [f"No head could be fitted on the boxes: {error}"]
        print(*read, *(table(*each) for each in heads), sep="\n")

    page = ReportPage(QUESTION, answer(learned))
    page.text(*read)
    for each in heads:
        page.table(*each, caption="Average precision of patches.")
    for each in changes:
        page.table(*each)
    with plt.rc_context():
        style()
        page.figure(*before_and_after(learned, {"undistilled": "none", "distilled": loss}))
        page.table(*distances(learned), caption="Divergence from the teacher on RGB: 0 the same.")
        page.section("Features as colours")
        page.text(closer)
        page.figure(*pictures(held, teacher, student, best, photographs))
        page.section(tables.QUESTION)
        page.text(*study.lead(found))
        study.add_numbers(page, found)
    page.section("The pairs")
    facts = pairs_page.facts(checked)
    page.bullets([pairs_page.answer(checked), *pairs_page.notices(checked)])
    page.table(("item", "value"), facts)
    page.section("How it was done")
    public = settings.model_dump(mode="json")
    page.table(("setting of the distillation", "value"), public.items())
    page.text(f"The student: {run.folder.name}/{STUDENT} in the folder of runs.")
    study.add_method(page, found)
    page.code(command)
    out.mkdir(parents=True, exist_ok=True)
    about = manifest(
        command=command,
        settings=public,
        check=[pairs_page.answer(checked), *map(": ".join, facts)],
        weights=teacher.checksum,
        training=run.manifest.get("seconds"),
        data={s: d.fingerprint() for s, d in (("all", everything), (held.split, held))},
    )
    measured = as_json(rows(found, learned, scores, loss))
    report = {"schema": SCHEMA, "rows": measured, "manifest": about}
    write_json(out / "report.json", report | {"gap": found.json(), "distilled": learned.json()})
    print(f"The student is {run.folder / STUDENT}, and these lines load it:\n\n{loading(run)}\n")
    return page.write(out / "report.html")
