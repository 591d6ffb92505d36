"""The teacher's features on disk: never trusted unchecked, and never deciding a result."""

import os
import time

import pytest
import torch
from safetensors.torch import save_file

from freqkd_lite.distil import plan, settings_from, teacher as teacher_cache
from freqkd_lite.distil.checkpoint import load_sealed
from freqkd_lite.distil.teacher import CachedTeacher, Teacher, tidy, view_file
from freqkd_lite.features import create_net, load_backbone
from tests.refused import refused
from tests.survivor import VIT, Noise, run

CACHED = VIT | dict(crop=(16, 32), crop_list=2)
# test_vit has width 64; a crop of 16x32 has 1x2 patches of 16; two blocks, two bytes an element.
BYTES = 2 * 64 * 1 * 2 * 2


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("FREQKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "teacher"


def train(folder, **changes):
    made = run(folder, **CACHED | changes)
    return (made.folder / "student.safetensors").read_bytes(), made.log


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """The run that never had a cache."""
    return train(tmp_path_factory.mktemp("without"), cache_limit_gb=0)


def files(cache):
    return sorted(cache.rglob("*.pt"))


def views_of(**changes):
    settings = settings_from(**CACHED | changes)
    return [view for step in plan(Noise("train", (32, 48)), settings) for view in step]


def test_a_run_is_the_same_without_with_an_empty_and_with_a_full_cache(
    monkeypatch, tmp_path, cache, computed, capsys
):
    torch.manual_seed(0)
    save_file(create_net("test_vit").state_dict(), tmp_path / "w.safetensors")
    own = dict(teacher_weights=str(tmp_path / "w.safetensors"))  # a file: known without loading
    expected = train(tmp_path / "none", cache_limit_gb=0, **own)
    assert not cache.exists() and len(computed) == 24 + 1  # 12 steps of 2, and the blank one
    distinct = len(set(views_of()))
    assert distinct < 24  # some come twice
    assert train(tmp_path / "empty", **own) == expected
    assert len(computed) == 25 + distinct + 1 == 25 + len(files(cache))
    out = capsys.readouterr().out
    assert f"the {distinct} views of this run take at most {distinct * BYTES / 1e9:.3g} GB" in out
    monkeypatch.setattr(teacher_cache, "load_backbone", None)  # the teacher is not even loaded
    assert train(tmp_path / "full", **own) == expected
    assert len(computed) == 25 + distinct + 1


def test_features_are_the_backbone_s_own_rounded_to_half(cache):
    teacher = CachedTeacher("test_vit", "random", (1, 4), seed=3)
    images = torch.rand(3, 3, 32, 48)
    torch.manual_seed(3)
    backbone = load_backbone("test_vit", "random").freeze()
    expected = [m.half().float() for m in backbone(images, (1, 4))]
    for _ in range(3):  # without a cache, into it, out of it
        for got, want in zip(teacher(images), expected, strict=True):
            torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)  # one rounding step
        teacher.use_cache(torch.zeros(3, 32, 48), 3, 1e9)
    plain = Teacher("test_vit", "random", (1, 4), seed=3)
    for got, want in zip(plain(images), backbone(images, (1, 4)), strict=True):
        assert torch.equal(got, want)


def test_a_flipped_byte_is_found_and_computed_anew(tmp_path, cache, without, computed, capsys):
    assert train(tmp_path / "a") == without
    sound = {path: path.read_bytes() for path in files(cache)}
    damaged = [*sound][1::3]
    for number, path in enumerate(damaged):
        content = bytearray(sound[path])
        content[number * 97 % len(content)] ^= 4
        path.write_bytes(content)
    capsys.readouterr()
    computed.clear()
    assert train(tmp_path / "b") == without and len(computed) == len(damaged) > 3
    out = capsys.readouterr().out
    assert all(out.count(str(path)) == 1 for path in damaged)
    assert {path: path.read_bytes() for path in files(cache)} == sound  # and repaired


def test_the_limit_is_kept_and_training_goes_on(tmp_path, cache, without, capsys):
    limit = 10 * BYTES
    assert train(tmp_path / "a", cache_limit_gb=limit / 1e9) == without
    out = capsys.readouterr().out
    assert out.count("has reached cache_limit_gb=") == 1 and "training continues" in out
    stored = sum(t.numel() * 2 for path in files(cache) for t in load_sealed(path)["maps"])
    assert BYTES < stored <= limit and len(files(cache)) == stored // BYTES
    # what is there counts for the next run, with other blocks as well
    assert f"of {limit / 1e9:.3g} GB are used" in out
    train(tmp_path / "b", cache_limit_gb=limit / 1e9, blocks=(0, 3))
    assert len(files(cache)) <= stored // BYTES + 1


def test_a_full_disk_costs_time_only(monkeypatch, tmp_path, cache, without, capsys):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(teacher_cache, "save_sealed", full)
    assert train(tmp_path / "a") == without
    assert capsys.readouterr().out.count("can't be written (No space left on device)") == 1


def test_each_thing_that_decides_a_feature_has_a_part_in_its_address(cache):
    def address(name="test_vit", blocks=(1, 4), seed=0):
        teacher = CachedTeacher(name, "random", blocks, seed)
        teacher.use_cache(torch.zeros(3, 32, 48), 1, 1e9)
        return teacher.folder

    others = address(), address(blocks=(1, 3)), address(seed=1), address(name="test_vit2")
    assert address() in others and len(set(others)) == 4
    image = torch.rand(3, 32, 48)
    brighter = image.clone()
    brighter[1, 2, 3] += 1e-6
    kinds = [image, brighter, image.flip(-1), image[:, :16], image[:, 1:17]]
    kinds += [image.reshape(3, 48, 32)]  # the same bytes
    assert len({view_file(cache, kind) for kind in kinds}) == len(kinds)
    assert view_file(cache, image[:, 2:18]) == view_file(cache, image[:, 2:18].clone())


def test_crops_come_from_the_list_and_flips_from_chance():
    views = views_of(steps=300, seed=5)
    assert len(set(views)) == 10 * 2 * 2  # pairs, crops, flips: all that there is to store
    corners = {view[1:3] for view in views}
    assert len(corners) > 10 and {view.flip for view in views} == {False, True}
    assert {n for corner in corners for n in corner} <= set(range(17))
    assert {v[1:3] for v in views_of(crop=None)} == {(0, 0)}
    assert len({view[:3] for view in views_of(crop_list=0, steps=300)}) > 300
    refused(r"crop=\(16, 64\).*size=\(32, 48\)", views_of, crop=(16, 64))


def test_features_that_fp16_does_not_hold(monkeypatch, cache):
    teacher = CachedTeacher("test_vit", "random", (1, 4))
    teacher.use_cache(torch.zeros(3, 32, 48), 2, 1e9)
    stored, image = files(cache), torch.ones(1, 3, 32, 48)
    image[0, 0, 0, 0] = float("inf")  # the step that takes them can name the picture
    assert not any(m.isfinite().all() for m in teacher(image)) and files(cache) == stored
    monkeypatch.setattr(teacher.backbone, "forward", lambda images, blocks: [images * 1e6])
    refused("set crop_list=0", teacher, torch.ones(1, 3, 16, 16))


def test_half_written_files_of_killed_processes_go_after_a_day(tmp_path):
    ages = {"old.part": 90_000, "old.safetensors": 90_000, "new.part": 10, "set-back.part": -90_000}
    for name, age in ages.items():
        (tmp_path / name).write_bytes(b"12345")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert tidy(tmp_path) == 15
    assert sorted(os.listdir(tmp_path)) == ["new.part", "old.safetensors", "set-back.part"]


def test_a_student_in_bfloat16_has_the_same_targets(tmp_path, cache, without):
    """Half-precision tensors can't be stacked under autocast; the teacher is float32 there too."""
    computed = train(tmp_path / "computed", precision="bf16", cache_limit_gb=0)
    assert train(tmp_path / "kept", precision="bf16") == computed
    assert train(tmp_path / "read", precision="bf16") == computed
    first, second = computed[1][0]["loss"], without[1][0]["loss"]
    assert first != second and first == pytest.approx(second, rel=0.01)
