"""The scenes as a data set: splits by seed, floats with labels, and a cache that is never torn."""

import re
from dataclasses import astuple

import numpy as np
import torch

from freqkd_lite import data
from freqkd_lite.scenes import SceneSettings, pairs as scene_pairs, render_scene
from tests.refused import refused


def test_splits_share_no_seed():
    ranges = sorted((first, first + count) for first, count in scene_pairs.SPLITS.values())
    assert all(end <= start for (_, end), (start, _) in zip(ranges, ranges[1:], strict=False))
    names = data.load("scenes", "val", limit=3).names
    assert all(re.fullmatch(r"scene01\d{5}", name) for name in names)


def test_a_scene_arrives_as_floats_with_its_labels():
    pairs = data.load("scenes", "train", limit=2)
    scene, pair = render_scene(1), pairs[1]
    pixels = (pair.visible * 255).round().byte().permute(1, 2, 0)
    assert torch.equal(pixels, torch.from_numpy(scene.visible))
    assert (pair.mask.numpy() == scene.mask).all() and pair.time_of_day == scene.time
    assert torch.equal(data.stack(pairs, "infrared")[1], pair.infrared)
    refused("'visible'", data.stack, pairs, "visble")


def test_a_scene_from_the_disk_is_the_scene_and_a_torn_file_is_drawn_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_pairs, "scene_cache", lambda: tmp_path / "deep")
    drawn, asked = [], (7, (84, 112), SceneSettings())
    monkeypatch.setattr(
        scene_pairs, "render_scene", lambda *of: drawn.append(of) or render_scene(*of)
    )
    fresh = astuple(render_scene(*asked))

    def same():
        scene_pairs.cached_scene.cache_clear()
        found = astuple(scene_pairs.cached_scene(*asked))
        return all(np.array_equal(a, b) for a, b in zip(found, fresh, strict=True))

    assert same() and same() and len(drawn) == 1  # the second time nothing is drawn
    (file,) = (tmp_path / "deep").iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    for torn in (content, content[:100]):
        file.write_bytes(torn)
        assert same()
    assert len(drawn) == 3
    bare = scene_pairs.cached_scene(7, (84, 112), SceneSettings(paint=0))
    assert not np.array_equal(bare.visible, fresh[0])
    scene_pairs.cached_scene.cache_clear()
