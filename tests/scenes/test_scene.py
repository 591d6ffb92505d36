"""The procedural scenes: exact boxes, two modalities that share a world and nothing else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import ndimage

from freqkd_lite.scenes import CLASSES, MASK_CLASSES, SIZE, SceneSettings, camera, render_scene
from freqkd_lite.scenes.things import GENERATOR_VERSION, World
from tests.refused import refused

STILL = SceneSettings(parallax=0.0)
PEOPLE = MASK_CLASSES.index("person")
FREEZE = Path(__file__).parents[2] / "results" / "scenes_gap" / "freeze.yaml"


def instance_map(seed, size=SIZE):
    """Instances of the infrared frame, and the classes of instances 1, 2, ..."""
    world, numbers, *_ = camera.rasterise(seed, size)
    return world.owners[numbers[0]], world.labels


def bounds_of(instances):
    """Tight boxes by scipy: {instance: [x0, y0, x1, y1]}, end exclusive."""
    found = enumerate(ndimage.find_objects(instances), 1)
    return {i: [at[1].start, at[0].start, at[1].stop, at[0].stop] for i, at in found if at}


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(seed) for seed in range(40)]


def same(a, b, *names):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_a_seed_is_one_scene_and_still_what_was_calibrated():
    frozen = yaml.safe_load(FREEZE.read_text())
    assert frozen["generator"] == GENERATOR_VERSION, "measure again: tools/scenes_gap.py"
    found = {seed: render_scene(seed).checksum() for seed in frozen["checksums"]}
    assert len(found) == 20 and found == frozen["checksums"]
    assert same(render_scene(3), render_scene(3), "visible", "infrared", "mask", "boxes")


def test_a_checksum_sees_a_label_and_a_tint_and_no_last_bit():
    scene = render_scene(0)
    for last_bits in (scene.infrared | 1, scene.infrared & 254):
        assert replace(scene, infrared=last_bits).checksum() == scene.checksum()
    changes = {name: getattr(scene, name) + 1 for name in ("mask", "boxes", "labels")}
    changes |= dict(visible=scene.visible // 2, infrared=scene.infrared + np.uint8(16))
    for name, change in changes.items():
        assert replace(scene, **{name: change}).checksum() != scene.checksum(), name


@pytest.mark.parametrize("seed", [0, 1, 3, 5, 29])  # in 29 two would have 5 and 10 pixels
def test_boxes_are_the_bounds_of_what_can_be_seen(seed):
    scene = render_scene(seed)
    instances, classes = instance_map(seed)
    bounds = bounds_of(instances)
    assert scene.boxes.tolist() == [bounds[i] for i in sorted(bounds)]
    assert [classes[i - 1] for i in sorted(bounds)] == scene.labels.tolist()
    assert scene.mask.shape == SIZE and scene.mask.max() < len(MASK_CLASSES)
    for i in bounds:  # the mask names the class of the object, and nothing drawn goes unlabelled
        assert set(scene.mask[instances == i]) == {MASK_CLASSES.index(CLASSES[classes[i - 1]])}
        assert (instances == i).sum() >= 12
    assert ((scene.mask >= PEOPLE) == (instances > 0)).all()


@pytest.mark.parametrize("seed", [0, 4, 10])  # wet by day, wet by night, dry
def test_settings_change_pixels_of_one_spectrum_and_never_the_world(seed):
    plain = render_scene(seed)
    changes = dict(parallax=4.0, blur=2.0, paint=2.0, thermal_contrast=0.5, noise=0.1)
    for name, value in changes.items():
        other = render_scene(seed, settings=SceneSettings(**{name: value}))
        assert same(plain, other, "mask", "boxes", "labels"), name
        of_infrared = name in ("blur", "thermal_contrast", "noise")
        assert same(plain, other, "infrared") != of_infrared, name
        assert same(plain, other, "visible") == of_infrared, name


@pytest.mark.parametrize("shift", [2, 5])
def test_parallax_moves_the_nearest_object_by_so_many_pixels_and_the_sky_not_at_all(shift):
    tried = 0
    for seed in range(20):
        world, numbers, other, keep, *_ = camera.rasterise(seed, SIZE, shift)
        kept = np.flatnonzero(keep)[1:]
        if not len(kept):
            continue
        nearest = min(kept, key=lambda i: world.depths[i - 1])
        if world.labels[nearest - 1] != CLASSES.index("person"):
            continue  # only people are flat; the far end of a car moves less
        tried += 1
        before, after = (world.owners[n[0]] == nearest for n in (numbers, other))
        assert np.array_equal(before[:, :-shift], after[:, shift:]), seed
        far = [np.isin(n[0], np.flatnonzero(world.distance > 250)) for n in (numbers, other)]
        nothing_near = ~(world.owners[numbers[0]] > 0) & ~(world.owners[other[0]] > 0)
        assert (far[0] & far[1])[nothing_near].sum() > 0.8 * far[0][nothing_near].sum()
    assert tried >= 4


def one_wall(seed):
    """A brick wall that fills the picture at 10 m, on it a painted board; overcast day."""
    world = World(seed)
    world.night, world.weather, world.horizon, world.centre = False, "overcast", 0.5, 0.5
    wall = (0.5, 0.4, 0.3)
    world.quad(-900, -900, 900, 900, 400, wall, 0)
    world.quad(-50, -50, 50, 50, 10, wall, 3.0, "brick")
    world.quad(-1, -9, 1, 9, 9.9, (0.1, 0.2, 0.9), 3.0, "brick", under=wall)
    return world.freeze()


def test_paint_and_print_exist_in_rgb_alone(monkeypatch):
    monkeypatch.setattr(camera, "build", one_wall)
    painted, half, bare = (render_scene(1, settings=replace(STILL, paint=p)) for p in (1, 0.5, 0))
    assert np.array_equal(painted.infrared, bare.infrared)
    centre, left = np.s_[40:120, 106:118], np.s_[40:120, 4:16]

    def edge(scene):
        return abs(scene.visible[centre].mean((0, 1)) - scene.visible[left].mean((0, 1))).max()

    assert edge(painted) > 60 and 20 < edge(half) < edge(painted)
    assert edge(bare) < 1  # the board is gone
    assert painted.visible[left].std((0, 1)).max() > 5  # bricks and mortar
    assert bare.visible.std((0, 1)).max() < 2.5  # a flat wall but for the camera's own noise


def test_print_on_a_wet_street_has_no_reflection_without_paint(monkeypatch):
    def wet_wall(seed):
        world = one_wall(seed)
        world.shapes, world.rows = world.shapes[:1], world.rows[:1]
        world.weather, world.height = "wet", 2.0
        tar, blue = (0.3, 0.3, 0.3), (0.1, 0.2, 0.9)
        world.ground(-99, 1.2, 99, 300, tar, 0)
        for x, under in ((0.0, (0.5, 0.4, 0.3)), (3.0, None)):  # one is painted, one is blue
            world.quad(x - 1, 0, x + 1, 1.5, 10, blue, 3.0, under=under)
        return world.freeze()

    monkeypatch.setattr(camera, "build", wet_wall)
    bare = render_scene(1, settings=replace(STILL, paint=0)).visible.astype(int)
    world = wet_wall(1)
    foot = int(84 + world.focal * 2.0 / 10)  # row where the boards meet the road
    columns = (int(112 + world.focal * x / 10) for x in (0.0, 3.0))
    below = (bare[foot + 3 : foot + 12, c - 5 : c + 5].mean((0, 1)) for c in columns)
    painted, blue = (colour[2] - colour[0] for colour in below)
    assert blue > painted + 10


def test_in_infrared_people_stand_out_and_most_cars_and_bicycles_hardly(scenes):
    gaps, grounds = [[], [], []], []
    for scene in (scene for scene in scenes if scene.time == "night"):
        grounds.append(np.median(scene.infrared[scene.mask == MASK_CLASSES.index("road")]))
        for (x0, y0, x1, y1), label in zip(scene.boxes.astype(int), scene.labels, strict=True):
            around = np.s_[max(y0 - 4, 0) : y1 + 4, max(x0 - 4, 0) : x1 + 4]
            grey, mask = scene.infrared[around].astype(float), scene.mask[around]
            if (mask < PEOPLE).any():
                gaps[label].append(grey[mask == PEOPLE + label].mean() - grey[mask < PEOPLE].mean())
    people, bicycles, cars = map(np.array, gaps)
    assert min(map(len, gaps)) > 10 and 10 < np.median(grounds) < 35
    assert np.median(people) > 25 and (people > 0).mean() > 0.95
    assert np.median(abs(bicycles)) < 12 and np.median(abs(cars)) < 20


def test_thermal_contrast_scales_differences():
    settings = [SceneSettings(thermal_contrast=c, noise=0) for c in (1.0, 0.5)]
    full, half = (render_scene(9, settings=s).infrared.astype(float) for s in settings)
    inside = (full > 0) & (full < 255)
    assert np.allclose(half[inside] - 20, (full[inside] - 20) / 2, atol=1.01)


def test_another_size_is_the_same_world():
    for seed in (0, 1, 3):
        (small, _), (large, _) = instance_map(seed, (84, 112)), instance_map(seed)
        a, b = bounds_of(small), bounds_of(large)
        both = [i for i in b if i in a and b[i][3] - b[i][1] > 20]
        assert both
        for i in both:  # half the size, to the pixel
            assert np.abs(2 * np.array(a[i]) - np.array(b[i])).max() <= 2


def test_scenes_hold_the_promised_mix_and_half_of_them_lie_in_the_dark_of_night(scenes):
    labels = np.concatenate([scene.labels for scene in scenes])
    people, bicycles, cars = np.bincount(labels) / 40
    assert 2 < people < 6 and 0.6 < bicycles < 2.5 and 0.8 < cars < 3
    heights = np.concatenate([scene.boxes[:, 3] - scene.boxes[:, 1] for scene in scenes])
    assert heights[labels == 0].min() < 16 and heights[labels == 0].max() > 70
    times = ("day", "night")
    day, night = ([s.visible.mean() for s in scenes if s.time == time] for time in times)
    assert 10 <= len(night) <= 30 and 2 * np.median(night) < np.median(day)


def test_bad_settings_and_arguments_are_named():
    bad = [("parallax", 17), ("blur", -0.1), ("paint", "1"), ("paint", 2.5), ("noise", 0.6)]
    for name, value in (*bad, ("thermal_contrast", float("nan")), ("noise", True)):
        refused(f"^{name} .* not {value!r}", SceneSettings, **{name: value})
    for seed in (-1, 1.5):
        refused(f"seed .*{seed}", render_scene, seed)
    for size in ((16, 224), 168, (168.0, 224.0)):
        refused(f"size .*{size}", render_scene, 1, size)
