"""Which pictures belong together: on pictures made alike, names by hand, and MSRS."""

import numpy as np
import pytest
import torch

from freqkd_lite import data
from freqkd_lite.evaluate.groups import likeness, near_duplicates
from tests.real import real
from tests.refused import refused


def pictures(count, seed=0):
    return torch.rand(count, 3, 48, 64, generator=torch.Generator().manual_seed(seed))


def parts(groups):
    """The groups as a set of sets of places."""
    return {frozenset(np.flatnonzero(groups == k).tolist()) for k in set(groups.tolist())}


def sets(*groups):
    return {frozenset(group) for group in groups}


def test_likeness_is_that_of_edges_by_numpy():
    x = pictures(4)
    x[3] = 0.4 * x[0] + 0.3  # another light: the same edges
    found = likeness(x).numpy()
    small = x.numpy().astype(float).mean(1).reshape(4, 24, 2, 32, 2).mean((2, 4))
    edges = np.stack([np.diff(small, axis=1)[:, :, :-1], np.diff(small, axis=2)[:, :-1]], 1)
    np.testing.assert_allclose(found, np.corrcoef(edges.reshape(4, -1)), atol=1e-6)
    assert found[0, 3] == pytest.approx(1) and abs(found[0, 1]) < 0.1
    assert (likeness(torch.full((2, 3, 48, 64), 0.5)) == 0).all()


def test_near_copies_are_alike_in_all_spectra():
    visible, infrared = pictures(6), pictures(6, seed=1)
    noise = pictures(6, seed=2)
    for x in (visible, infrared):  # 0 and 4, and 4 and 2, are near copies
        x[4] = 0.7 * x[0] + 0.3 * noise[0]
        x[2] = 0.7 * x[4] + 0.3 * noise[1]
    visible[5] = visible[1]  # alike in one spectrum alone
    assert parts(near_duplicates([visible, infrared])) == sets((0, 2, 4), (1,), (3,), (5,))
    assert frozenset((1, 5)) in parts(near_duplicates([visible]))


NAMES = ["00024D", "00004D", "00009D", "00014D", "00019D", "00010N", "00041D", "00034D"]
# in order, by day: 4 9 14 19 | 24 34 41 with blocks of 4; 34 is just near enough to 24


@pytest.mark.parametrize(
    "block,groups",
    [
        (4, [(1, 2, 3, 4), (0, 7, 6), (5,)]),
        (2, [(1, 2), (3, 4), (0, 7), (6,), (5,)]),
        (1, [(k,) for k in range(8)]),
        (99, [(0, 1, 2, 3, 4, 6, 7), (5,)]),
    ],
)
def test_neighbours_by_hand(block, groups):
    found = near_duplicates([pictures(8)], NAMES, block)
    assert parts(found) == sets(*groups)


def test_a_gap_begins_a_new_block_and_copies_join_blocks():
    names = ["clip2_003", "clip2_001", "clip3_002", "clip2_014", "clip2_016"]
    found = near_duplicates([pictures(5)], names)
    assert parts(found) == sets((0, 1), (2,), (3, 4))
    x = pictures(5)
    x[4] = x[1]
    assert parts(near_duplicates([x], names)) == sets((0, 1, 3, 4), (2,))


def test_what_does_not_fit_is_told():
    refused(r"\[2, 3\].*block=4", near_duplicates, [pictures(3), pictures(2)])
    refused("block=0", near_duplicates, [pictures(2)], ["a1", "a2"], 0)
    refused("'left'", near_duplicates, [pictures(2)], ["a1", "left"])


def test_msrs_val_has_one_near_copy():
    found = data.load("msrs", "val", (168, 224), real("msrs361"))
    spectra = [data.stack(found, kind) for kind in ("visible", "infrared")]
    groups = near_duplicates(spectra)
    (pair,) = (group for group in parts(groups) if len(group) > 1)
    assert sorted(found.names[k] for k in pair) == ["00671D", "00676D"]
    assert len(set(near_duplicates(spectra, found.names))) == 24
