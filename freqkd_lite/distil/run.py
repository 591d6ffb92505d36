"""A run on disk: its folder, addressed by its content, and how training fills it."""

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from tqdm.auto import tqdm

from freqkd_lite import data, losses, store
from freqkd_lite.distil.checkpoint import Checkpoints, changing
from freqkd_lite.distil.processes import Processes
from freqkd_lite.distil.sampling import plan
from freqkd_lite.distil.settings import DistilSettings
from freqkd_lite.distil.student import Student, add_lora, first_student
from freqkd_lite.distil.teacher import CachedTeacher, Teacher
from freqkd_lite.distil.train import measure_loss, precision, train
from freqkd_lite.errors import LESS, Interrupted, UserError, out_of_memory
from freqkd_lite.features import Backbone, create_net, extract

MANIFEST, LOG, STUDENT = "manifest.json", "log.jsonl", "student.safetensors"
MEASURED = "loss.safetensors"  # what a loss calibrated before training
FILES = {MANIFEST, LOG, STUDENT, MEASURED}
STEP = "step-{:06d}.safetensors"  # the trained weights after that many steps


@dataclass(frozen=True)
class Run:
    """A finished distillation on disk."""

    folder: Path
    settings: DistilSettings

    @property
    def manifest(self) -> dict:
        return json.loads(store.read_text(self.folder / MANIFEST))

    @property
    def log(self) -> list[dict]:
        """One entry per step: step, loss, parts, lr, gradient norm."""
        return [json.loads(line) for line in store.read_text(self.folder / LOG).splitlines()]

    def loss(
        self, students: list[Tensor], teachers: list[Tensor], initial: list[Tensor]
    ) -> losses.LossParts:
        """The run's own loss on maps (N, C, h, w) by block; `initial` are those of the student
        before training, for losses that compare with it."""
        file, name = self.folder / MEASURED, self.settings.loss
        statistics = losses.load_statistics(file) if file.is_file() else None
        options: dict[str, Any] = self.settings.loss_options
        loss_of = losses.build_loss(name, statistics=statistics, **options)
        return loss_of(students, teachers, *([initial] if losses.needs_anchors(name) else []))

    def student(self) -> Backbone:
        """The distilled student, frozen, at the settings' `merge_scale`. Raises `UserError` where
        that needs the first weights, and they are not those of the run any more."""
        name, scale = self.settings.student_name, self.settings.merge_scale
        weights = load_file(self.folder / STUDENT)
        if scale != 1:
            for key, start in self._first().net.state_dict().items():
                if start.is_floating_point():
                    weights[key] = start.lerp(weights[key], scale)
        net = create_net(name)
        net.load_state_dict(weights)
        return Backbone(net, name, f"run {self.folder.name}", None).freeze()

    def students(self) -> Iterator[tuple[int, Backbone]]:
        """The student after 0 steps and after each of the settings' `moments`: (step, backbone),
        frozen. It is one network whose weights change, so use each before asking for the next.
        Raises `UserError` as `student` does."""
        backbone = self._first()
        if self.settings.lora_rank:
            add_lora(backbone, self.settings)  # at first it adds nothing
        backbone.requires_grad_(False).net.eval()  # not its own eval(): frozen, it changes nothing
        yield 0, backbone
        for step in self.settings.moments:
            saved = load_file(self.folder / STEP.format(step)).items()
            own = {k.removeprefix("backbone."): v for k, v in saved if k.startswith("backbone.")}
            backbone.load_state_dict(own, strict=False)
            yield step, backbone

    def _first(self) -> Backbone:
        """The student before training."""
        name = self.settings.student_name
        first = Teacher(name, self.settings.first_weights, (), self.settings.seed)
        if first.checksum != self.manifest["weights"]["student"]:
            raise UserError(
                f"{self.folder.name} needs the weights of {name} that it began with, and "
                f"{first.source} holds others: give those, or merge_scale=1."
            )
        return first.backbone


def distil(settings: DistilSettings, runs: str | Path | None = None, progress: bool = True) -> Run:
    """Train a student as `settings` say, or return the finished run of the same address.

    The address is the settings, the checksums of data and weights, and `RECIPE`. The folder holds
    student.safetensors (LoRA merged), log.jsonl and manifest.json, and appears whole or not at all.
    Until then its state lies beside it in .NAME.part, from where a stopped run is resumed: on a CPU
    with the same number of threads to the same weights, bit for bit. All processes of `accelerate
    launch` call this and return the same run. Where `keep_steps` asks for weights that a finished
    run did not save, it is trained again to add them. Raises `Interrupted` on Ctrl-C, `UserError`
    for settings, data or a disk that make it impossible.
    """
    team = Processes(settings.device)
    team.check_batch(settings.batch, settings.accumulate)
    where = settings.split, settings.size, settings.root, settings.limit
    pairs = data.open_sets(settings.dataset, *where, **settings.data_options)
    data.require(pairs, "pairs", notebook="Distillation")
    kind = CachedTeacher if settings.crop_list else Teacher
    teacher = kind(settings.teacher, settings.teacher_weights, settings.blocks, settings.seed)
    teacher.device = team.device
    random_state = torch.get_rng_state()
    try:
        backbone = first_student(settings)
        content = {
            "settings": settings.model_dump(mode="json"),
            "data": pairs.fingerprint(),
            "weights": {"teacher": teacher.checksum, "student": backbone.checksum},
            "recipe": store.RECIPE,
        }
        folder = store.runs_folder(runs) / f"distil-{settings.loss}-{store.run_key(content)}"
        part = folder.with_name(f".{folder.name}.part")
        alone = store.sole_maker(folder) if team.first else nullcontext()
        with _stops_explained(part, folder, settings.steps), alone:
            if not team.broadcast(_is_whole(folder, settings) or _is_whole(part, settings)):
                _train_into(part, settings, pairs, teacher, backbone, content, progress, team)
            if team.first and not _is_whole(folder, settings):
                steps = [STEP.format(step) for step in settings.moments]
                for path in part.iterdir():
                    if path.name not in FILES and path.name not in steps:
                        path.unlink()
                if folder.is_dir():
                    for name in steps:
                        os.replace(part / name, folder / name)
                    shutil.rmtree(part)
                else:
                    os.replace(part, folder)
            team.broadcast()
    finally:
        torch.set_rng_state(random_state)
    return Run(folder, settings)


def _is_whole(folder: Path, settings: DistilSettings) -> bool:
    """Whether a run's folder holds all that the settings ask for."""
    steps = [folder / STEP.format(step) for step in settings.moments]
    return all(path.is_file() for path in (folder / MANIFEST, *steps))


def _train_into(
    part: Path,
    settings: DistilSettings,
    pairs: data.PairSet,
    teacher: Teacher,
    backbone: Backbone,
    content: dict,
    progress: bool,
    team: Processes,
) -> None:
    """Train in the working folder; the manifest, written last, says that it is complete."""
    anchored, measured = losses.needs_anchors(settings.loss), settings.loss in losses.CALIBRATORS
    # The student before training: loaded if the loss asks, its features cached as the teacher's.
    of = settings.student_name, settings.first_weights, settings.own_blocks, settings.seed
    initial = type(teacher)(*of)
    initial.device = team.device
    blank = torch.zeros(3, *settings.view_size)
    if isinstance(teacher, CachedTeacher) and settings.cache_limit_gb:
        limit = settings.cache_limit_gb * 1e9
        views = len({view for step in plan(pairs, settings) for view in step})
        teacher.use_cache(blank, views, limit)
        if anchored and isinstance(initial, CachedTeacher):
            if losses.needs_mismatched(settings.loss):  # one mismatched picture beside each pair
                views += min(views, math.ceil(len(pairs) / settings.batch) * settings.batch)
            initial.use_cache(blank, views, limit)
    # Convolutions where widths differ, and LoRA inside the backbone.
    own = extract(backbone.to(team.device), blank[None].to(team.device), settings.own_blocks)
    widths = [(m.shape[1], t.shape[1]) for m, t in zip(own, teacher(blank[None]), strict=True)]
    lora = add_lora(backbone, settings) if settings.lora_rank else None
    student = Student(backbone, settings.own_blocks, widths, settings.projector)
    student.to(team.device).train()

    with team.state.main_process_first():
        done = Checkpoints(part, "").steps
        if not all((part / STEP.format(n)).is_file() for n in settings.moments if n <= done):
            shutil.rmtree(part)  # an attempt that saved fewer steps
        part.mkdir(parents=True, exist_ok=True)
        (part / MANIFEST).unlink(missing_ok=True)
    checkpoints = Checkpoints(part, store.run_key(content), settings.checkpoint_every)
    statistics = None
    if measured:
        with team.state.main_process_first():
            statistics = measure_loss(initial, teacher, pairs, settings, part / MEASURED)
    if not anchored:
        initial = None  # its network is no longer needed
    log = part / LOG if team.first else Path(os.devnull)
    hidden = store.no_bar(progress and team.first)
    bar = tqdm(total=settings.steps, initial=checkpoints.steps, desc=settings.loss, disable=hidden)
    steps = train(student, teacher, pairs, settings, checkpoints, team, statistics, initial)
    try:
        with bar, log.open("a", encoding="utf-8") as stream:
            for entry in steps:
                stream.write(json.dumps(entry) + "\n")
                stream.flush()
                bar.set_postfix_str(f"loss {entry['loss']:.4f}", refresh=False)
                done = entry["step"] + 1
                bar.update(done - bar.n)
                if team.first and done in settings.moments:
                    trained = {k: v.contiguous() for k, v in changing(student).items()}
                    store.write_whole(part / STEP.format(done), save(trained))
        if team.first:
            student.cpu()
            net = lora.merge_and_unload(safe_merge=True) if lora else backbone.net
            weights = {name: value.contiguous() for name, value in net.state_dict().items()}
            store.write_whole(part / STUDENT, save(weights))
            models = {
                role: {"model": model.name, "source": model.source, "checksum": model.checksum}
                for role, model in (("teacher", teacher), ("student", backbone))
            }
            on_gpu = team.device.type == "cuda"
            about = store.manifest(
                **content,
                models=models,
                seconds=round(checkpoints.seconds, 1),
                restarts=checkpoints.restarts,
                device=torch.cuda.get_device_name(team.device) if on_gpu else "cpu",
                processes=team.count,
                precision=precision(settings, team.device),
                note=pairs.note,
            )
            store.write_json(part / MANIFEST, about)
    except BaseException:
        if team.first and not checkpoints.saved():
            shutil.rmtree(part, ignore_errors=True)  # nothing in it to resume from
        raise


@contextmanager
def _stops_explained(part: Path, folder: Path, steps: int) -> Iterator[None]:
    """Ctrl-C and a full disk end in a sentence that says what is saved and how to resume; full
    memory in one that says what to reduce."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise UserError(LESS) from error
    except (KeyboardInterrupt, OSError) as error:
        full = isinstance(error, OSError)
        if full and error.errno not in store.DISK_FULL:
            raise
        done = Checkpoints(part, "").steps
        if folder.is_dir() or (part / MANIFEST).is_file():
            saved = f"All {steps} steps of {folder} are saved."
        else:
            saved = f"{done} of {steps} steps are saved in {part}." if done else "Nothing is saved."
        if full:
            remedy = "Make room and rerun the command to resume."
            raise UserError(f"The disk of {folder.parent} is full. {saved} {remedy}") from error
        raise Interrupted(f"{saved} Rerun the command to resume.") from None
