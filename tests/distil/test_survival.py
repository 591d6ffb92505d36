"""Runs that are killed, interrupted or starved of disk end as if nothing had happened.

The oracle is an uninterrupted run: weights and log must be the same, byte for byte. FREQKD_KILLS
sets how many random kills there are (20).
"""

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from multiprocessing import forkserver

import numpy as np
import pytest
import torch
from safetensors.torch import load

from freqkd_lite import store as runs
from freqkd_lite.distil import checkpoint, infrared_of, plan, settings_from, teacher, train
from freqkd_lite.distil.checkpoint import Checkpoints, Refused, load_sealed, save_sealed
from freqkd_lite.errors import LESS, Interrupted, UserError
from freqkd_lite.store import sole_maker
from tests.refused import refused
from tests.survivor import CNN, VIT, Noise, child, run
from tests.together import interrupted

KILLS = int(os.environ.get("FREQKD_KILLS", "20"))
CACHED = VIT | dict(crop=(16, 32), crop_list=2)
PATIENCE = 300  # seconds until a child that does nothing is called hung


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts `child` in a process forked from one that has imported torch with one thread."""
    context = multiprocessing.get_context("forkserver")
    # A process has one such server, for life: that of other tests has not imported what these need,
    # and its environment is another.
    forkserver._forkserver._stop()
    # peft takes seconds to import, which every child would spend that trains with LoRA
    context.set_forkserver_preload(["tests.survivor", "peft"])
    started = []

    def begin(values, folder, last=0, wait=True):
        folder.mkdir(exist_ok=True)
        process = context.Process(target=child, args=(values, folder, folder / "output.txt", last))
        process.start()
        started.append(process)
        if wait:
            process.join(PATIENCE)
            assert process.exitcode is not None, "a child hangs"
        return process

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FREQKD_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield begin
    for process in started:
        process.kill()
        process.join()
    forkserver._forkserver._stop()


def result(folder):
    """What an uninterrupted run must have in common with any other: files, byte for byte."""
    (run,) = folder.glob("distil-*")
    left = {path.name for path in folder.iterdir()} - {run.name, "output.txt"}
    assert not left, f"{left} beside the finished run"
    told = json.loads((run / "manifest.json").read_text())
    for differs in ("made", "seconds", "restarts"):
        told.pop(differs)
    files = {path.name: path.read_bytes() for path in run.iterdir()}
    whole = [files.pop(name) for name in ("student.safetensors", "log.jsonl")]
    del files["manifest.json"]
    assert all(name.startswith("step-") for name in files)
    return *whole, told, files


@pytest.fixture(scope="module")
def whole(start, tmp_path_factory):
    """The uninterrupted run of some values, its time, and the changes that it made to files."""
    made = {}

    def get(values):
        key = json.dumps(values)
        if key not in made:
            folder = tmp_path_factory.mktemp("whole")
            begun = time.monotonic()
            assert start(values, folder).exitcode == 0, (folder / "output.txt").read_text()
            seconds = time.monotonic() - begun
            out = (folder / "output.txt").read_text().splitlines()
            events = [line for line in out if line.startswith(("open ", "os."))]
            made[key] = result(folder), seconds, events
        return made[key]

    return get


def test_kills_at_random_moments_leave_the_run_as_it_is(start, whole, tmp_path):
    """Children are killed at moments drawn between no time and a whole run's, each again and
    again until one ends by itself; more than ten kills in a row would only test patience."""
    draw, kills, number = random.Random(0), 0, 0
    start(VIT, tmp_path / "warm")  # the fork server itself takes seconds to start
    while kills < KILLS:
        values = (VIT, CNN, CACHED)[number % 3]
        expected, seconds, _ = whole(values)
        folder = tmp_path / str(number)
        for attempt in range(11):
            process = start(values, folder, wait=False)
            process.join(PATIENCE if attempt == 10 else draw.uniform(0, 1.2) * seconds)
            if not process.is_alive():
                break
            process.kill()
            process.join()
            kills += process.exitcode == -signal.SIGKILL
        assert process.exitcode == 0, (folder / "output.txt").read_text()
        assert result(folder) == expected
        number += 1


SHORT = VIT | dict(steps=3, checkpoint_every=1, keep_steps=2)


def test_a_kill_before_any_change_of_a_file_leaves_the_run_as_it_is(start, whole, tmp_path):
    """Before each opening, renaming and removing in the life of a run: among them the moment
    between a checkpoint's writing and its renaming, and those at the end."""
    expected, _, events = whole(SHORT)
    kinds = [f"{e.split()[0]} {e.rsplit('.', 1)[-1]}" for e in events]
    assert kinds.count("os.rename part") >= 6  # three checkpoints, weights, manifest, the folder
    assert len(events) > 20
    for last in range(1, len(events) + 1):
        folder = tmp_path / str(last)
        assert start(SHORT, folder, last).exitcode == -signal.SIGKILL
        assert start(SHORT, folder).exitcode == 0, (folder / "output.txt").read_text()
        assert result(folder) == expected, events[last - 1]
        shutil.rmtree(folder)


def test_of_two_processes_one_trains_and_the_other_waits(start, whole, tmp_path):
    expected, _, _ = whole(VIT)
    both = [start(VIT, tmp_path, wait=False) for _ in range(2)]
    for process in both:
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert result(tmp_path) == expected
    (told,) = tmp_path.glob("distil-*/manifest.json")
    assert json.loads(told.read_text())["restarts"] == []


def test_two_processes_share_one_cache(start, whole, tmp_path):
    """Of a teacher that no other test has; each ends as it does without a cache."""
    arms = [CACHED | dict(seed=9, loss=loss) for loss in ("mse", "cosine")]
    expected = [whole(arm | dict(cache_limit_gb=0))[0] for arm in arms]
    processes = [start(arm, tmp_path / arm["loss"], wait=False) for arm in arms]
    for process, arm, one in zip(processes, arms, expected, strict=True):
        process.join(PATIENCE)
        assert process.exitcode == 0 and result(tmp_path / arm["loss"]) == one


PICTURE = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
KEEPING = VIT | dict(keep_steps=3)  # after 2, 6 and 12 of 12 steps; checkpoints after 3, 6, ...


def test_kept_steps_change_nothing_and_are_what_checkpoints_hold(monkeypatch, tmp_path, plain):
    part, _ = stopped(monkeypatch, tmp_path, step=7, values=KEEPING)
    after_6 = load_sealed(Checkpoints(part, "").saved()[0])["student"]
    made = run(tmp_path, **KEEPING)
    assert result(tmp_path)[:3] == plain[:3]
    stored = load(result(tmp_path)[3]["step-000006.safetensors"])
    torch.testing.assert_close(stored, after_6, rtol=0, atol=0)
    # LoRA by hand: W + B A alpha / rank is what stands in the network then
    seen = {}
    for step, net in made.students():
        seen[step] = net.net.blocks[1].mlp.fc2.get_delta_weight("default").clone()
    b, a = (stored[f"backbone.net.blocks.1.mlp.fc2.lora_{x}.default.weight"] for x in "BA")
    torch.testing.assert_close(seen[6], b @ a * 16 / 2)
    assert [*seen] == [0, 2, 6, 12] and not seen[0].any() and seen[6].abs().max() > 1e-4


@pytest.mark.parametrize("values", [VIT, CNN], ids=["lora", "whole"])
def test_a_run_that_kept_no_steps_is_trained_again_and_stays(monkeypatch, tmp_path, values):
    stopped(monkeypatch, tmp_path / "part", step=10, values=values)
    run(tmp_path / "done", **values)
    marks = [(p, p.stat().st_mtime_ns) for p in (tmp_path / "done").glob("distil-*/*.*")]
    for folder in ("part", "done", "new"):
        made = run(tmp_path / folder, **values | {"keep_steps": 3})
        assert len(result(tmp_path / folder)[3]) == 3 and made.manifest["restarts"] == []
        *_, (step, last) = made.students()
        want = made.student()(PICTURE, (2,))
        torch.testing.assert_close(last(PICTURE, (2,)), want, atol=1e-4, rtol=1e-4)
    assert all(path.stat().st_mtime_ns == time for path, time in marks)
    assert result(tmp_path / "part") == result(tmp_path / "done") == result(tmp_path / "new")


def until(found):
    """What `found` gives once it gives anything."""
    deadline = time.monotonic() + PATIENCE
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


LONG = VIT | dict(steps=100_000, checkpoint_every=2)


def test_ctrl_c_says_what_is_saved_and_how_to_go_on(start, tmp_path):
    process = start(LONG, tmp_path, wait=False)
    until(lambda: list(tmp_path.glob(".distil-*.part/checkpoint-*.pt")))
    os.kill(process.pid, signal.SIGINT)
    process.join(PATIENCE)
    assert process.exitcode == 130
    (part,) = tmp_path.glob(".distil-*.part")
    steps = Checkpoints(part, "").steps
    out = f"Interrupted: {steps} of 100000 steps are saved in {part}. Rerun the command to resume."
    assert steps and out in (tmp_path / "output.txt").read_text().splitlines()
    assert {p.name for p in tmp_path.iterdir()} == {part.name, "output.txt"}  # no lock is left


def test_a_notebook_s_interrupt_says_the_same(tmp_path):
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute(
            "from freqkd_lite import data, distil\nfrom tests import survivor\n"
            "data.REGISTRY['noise'] = survivor.Noise\n"
            f"distil.distil(distil.settings_from(**{LONG}), {str(tmp_path)!r}, False)"
        )
        until(lambda: list(tmp_path.glob(".distil-*.part/checkpoint-*.pt")))
        manager.interrupt_kernel()
        reply = client.get_shell_msg(timeout=PATIENCE)["content"]
        while "ename" not in reply:  # what came before
            reply = client.get_shell_msg(timeout=PATIENCE)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["ename"] == "Interrupted"
    assert "of 100000 steps are saved in" in reply["evalue"] and len(reply["traceback"]) == 1


# What follows runs in this process; a stop comes at a chosen step.


def stopped(monkeypatch, folder, step, values=VIT):
    """A run that Ctrl-C stops at `step`; returns its working folder and what it printed."""
    with monkeypatch.context() as patch, pytest.raises(Interrupted) as caught:
        patch.setattr(train, "learning_rate", interrupted(step))
        run(folder, **values)
    return next(iter(folder.glob(".distil-*.part")), None), str(caught.value)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The uninterrupted run of this process."""
    folder = tmp_path_factory.mktemp("plain")
    run(folder, **VIT)
    return result(folder)


def test_a_stopped_run_goes_on_from_its_last_checkpoint(monkeypatch, tmp_path, plain):
    part, out = stopped(monkeypatch, tmp_path, step=2)  # before the first one
    assert part is None and list(tmp_path.iterdir()) == [] and out.startswith("Nothing is saved")
    part, out = stopped(monkeypatch, tmp_path, step=10)
    assert out == f"9 of 12 steps are saved in {part}. Rerun the command to resume."
    assert [int(p.stem[-2:]) for p in Checkpoints(part, "").saved()] == [9, 6]
    assert len((part / "log.jsonl").read_text().splitlines()) == 10
    seen, real = [], train.learning_rate
    monkeypatch.setattr(train, "learning_rate", lambda i, *of: seen.append(i) or real(i, *of))
    torch.rand(5)  # what happened before must not matter
    assert run(tmp_path, **VIT).manifest["restarts"] == [9]
    assert seen == [9, 10, 11] and result(tmp_path) == plain


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "flipped": (flip, "its checksum"),
    "cut": (lambda p: os.truncate(p, p.stat().st_size // 2), "its checksum"),
    "empty": (lambda p: os.truncate(p, 0), "its checksum"),
    "foreign": (lambda p: save_sealed(p, load_sealed(p) | {"key": "0123"}), "the run 0123"),
    "no log": (lambda p: os.truncate(p.parent / "log.jsonl", 700), "of its 9 steps"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_used(
    monkeypatch, tmp_path, plain, capsys, kind
):
    part, _ = stopped(monkeypatch, tmp_path, step=10)
    damage, reason = DAMAGE[kind]
    newest, older = Checkpoints(part, "").saved()
    damage(newest)
    if kind == "flipped":
        flip(older)
    made, out = run(tmp_path, **VIT), capsys.readouterr().out
    assert f"Ignoring checkpoint {newest} (" in out and reason in out
    begun_anew = kind in ("no log", "flipped")
    assert out.count("Ignoring checkpoint") == 1 + begun_anew
    assert made.manifest["restarts"] == ([] if begun_anew else [6])
    assert result(tmp_path) == plain


def test_any_flipped_bit_of_a_sealed_file_is_found(tmp_path):
    path = tmp_path / "t.pt"
    save_sealed(path, {"a": torch.arange(6.0).reshape(2, 3), "step": 12})
    read, content = load_sealed(path), path.read_bytes()
    assert read["step"] == 12 and read["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(Refused):
            load_sealed(path)


def test_checkpoints_go_by_time_unless_they_cost_too_much(monkeypatch, tmp_path):
    """With a clock of our own: 20 s after the last one, and after 50 times what that one took."""
    (tmp_path / "log.jsonl").touch()
    now, cost, at = [0.0], [0.125], []  # no rounding in binary
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])

    def save(path, *args, **kwargs):
        path.touch()
        now[0] += cost[0]

    monkeypatch.setattr(checkpoint, "save_sealed", save)
    weights = torch.nn.Linear(1, 1)
    optimiser, kept = torch.optim.AdamW(weights.parameters()), Checkpoints(tmp_path, "k")
    for step in range(1, 200):
        now[0] += 1.0
        cost[0], before = 0.125 if step < 60 else 1.0, kept.steps
        kept.after(step, weights, optimiser)
        at += [step] if kept.steps != before else []
    # 20 steps of 1 s each; from 60 on each takes 1 s, so the next comes 50 s later
    assert at == [20, 40, 60, 110, 160]


def test_a_full_disk_ends_in_a_sentence_and_a_folder_that_resumes(monkeypatch, tmp_path, plain):
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) >= 6:  # two a checkpoint, so it is the third one
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(UserError) as caught:
        patch.setattr(os, "fsync", full)
        run(tmp_path, **VIT)
    (part,) = tmp_path.glob(".distil-*.part")
    assert f"The disk of {tmp_path} is full. 6 of 12 steps" in str(caught.value)
    assert not list(part.glob("*.part"))
    assert run(tmp_path, **VIT).manifest["restarts"] == [6]
    assert result(tmp_path) == plain


@pytest.mark.parametrize("ask", [torch.empty, np.empty])
def test_memory_that_runs_out_ends_in_a_sentence_and_what_was_saved_stays(ask, tmp_path, plain):
    rate = train.learning_rate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "learning_rate", lambda *at: rate(*at) if at[0] < 5 else ask(2**50))
        assert refused("", run, tmp_path, **VIT) == LESS
    assert run(tmp_path, **VIT).manifest["restarts"] == [3]
    assert result(tmp_path) == plain


def batch_with(pair, **values):
    """The first step that sees the pair, and the names of all pairs in that batch."""
    pairs, settings = Noise("train", (32, 48)), settings_from(**values)
    partners = infrared_of(pairs, settings)
    for step, views in enumerate(plan(pairs, settings)):
        seen = [view.index for view in views]
        if pair in seen:
            seen += [partners[i] for i in seen]
            return step, ", ".join(f"noise{i}" for i in dict.fromkeys(seen))


@pytest.mark.parametrize("mismatched", [False, True])
def test_a_loss_that_is_not_finite_names_all_pairs_of_the_batch(tmp_path, mismatched):
    values = VIT | dict(data_options={"bad": 3}, checkpoint_every=1, mismatched=mismatched)
    step, names = batch_with(3, **values)
    refused(rf"step {step}: .*lr=.*\({names}\)", run, tmp_path, **values)
    (part,) = tmp_path.glob(".distil-*.part")  # the steps before are kept
    assert Checkpoints(part, "").steps == step > 0
    assert len((part / "log.jsonl").read_text().splitlines()) == step
    (newest, *_) = Checkpoints(part, "").saved()
    assert all(value.isfinite().all() for value in load_sealed(newest)["student"].values())


@pytest.mark.parametrize("crops", [0, 1])
def test_what_looks_at_pairs_before_training_names_bad_ones(tmp_path, monkeypatch, crops):
    monkeypatch.setenv("FREQKD_CACHE", str(tmp_path / "cache"))
    values = VIT | dict(data_options={"bad": 4}, crop_list=crops)
    refused(r"step \d+: .*lr=.*\(.*noise4", run, tmp_path, **values)
    before = "before training are not finite: .*noise4"
    refused(before, run, tmp_path, **values | dict(loss="coherence"))
    # `robust` looks at no mismatched pairs: of the batch, its two alone
    names = batch_with(4, **values)[1]
    refused(rf"before training.*\({names}\)", run, tmp_path, **values | dict(loss="robust"))


def test_a_killed_one_s_lock_blocks_nobody_and_a_torn_write_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / ".run.lock").touch()  # what a killed process leaves
    with sole_maker(tmp_path / "run"):
        assert (tmp_path / ".run.lock").exists()
    assert list(tmp_path.iterdir()) == []
    path = tmp_path / "a.json"
    runs.write_json(path, {"a": 1})

    def torn(*args):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(os, "replace", torn)
        runs.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1} and list(tmp_path.iterdir()) == [path]
    assert teacher.tidy(tmp_path) == path.stat().st_size
