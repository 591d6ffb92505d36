"""Reading pictures: values worked by hand, whatever the file's format; broken files are named."""

import numpy as np
import pytest
from PIL import Image

from freqkd_lite.data.images import image_header, read_image
from freqkd_lite.errors import UserError

GREY = np.array([[0, 51, 102], [153, 204, 255]], dtype=np.uint8)  # 0, .2, .4 / .6, .8, 1


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "bmp"])
@pytest.mark.parametrize("modality", ["visible", "infrared"])
def test_grey_of_8_bits_is_divided_by_255_and_stands_in_three_channels(tmp_path, suffix, modality):
    options = {"lossless": True} if suffix == "webp" else {}
    planes = read_image(save(tmp_path / f"a.{suffix}", GREY, **options), modality)
    assert planes.shape == (3, 2, 3) and planes.dtype.is_floating_point
    for plane in planes:
        assert plane.numpy() == pytest.approx(GREY / 255)


def test_colour_stays_colour_in_visible_and_becomes_its_luma_in_infrared(tmp_path):
    file = save(tmp_path / "a.png", np.full((2, 2, 3), (255, 0, 0), dtype=np.uint8))
    assert read_image(file, "visible")[:, 0, 0].tolist() == [1, 0, 0]
    # ITU-R 601: 0.299 of red; Pillow rounds to 8 bits
    assert read_image(file, "infrared")[:, 1, 1].tolist() == pytest.approx([76 / 255] * 3)


def test_a_palette_is_looked_up_and_transparency_is_ignored(tmp_path):
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    palette.putpalette([10, 20, 30, 255, 0, 51])
    palette.save(tmp_path / "p.png", transparency=1)
    assert read_image(tmp_path / "p.png", "visible")[:, 0].T.tolist() == [
        pytest.approx([10 / 255, 20 / 255, 30 / 255]),
        pytest.approx([1, 0, 0.2]),
    ]
    half = save(tmp_path / "a.png", np.full((1, 1, 4), (255, 51, 0, 7), dtype=np.uint8))
    assert read_image(half, "visible").flatten().tolist() == pytest.approx([1, 0.2, 0])


@pytest.mark.parametrize(
    ("suffix", "kind"), [("png", np.uint16), ("tif", np.uint16), ("tif", np.float32)]
)
def test_more_than_8_bits_are_stretched_from_percentile_to_percentile(tmp_path, suffix, kind):
    # 1001 values 29000, 29001, ..., 30000: percentiles 0.5 and 99.5 are 29005 and 29995
    ramp = np.arange(29000, 30001).astype(kind)[None]
    file = save(tmp_path / f"a.{suffix}", ramp)
    plane = read_image(file, "infrared")[2, 0].numpy()
    assert plane[[0, 5, 500, 995, 1000]] == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-4)
    assert plane[252] == pytest.approx((29252 - 29005) / 990, abs=1e-4)
    assert image_header(file) == ((1, 1001), True)


def test_an_even_16_bit_picture_is_black_and_one_with_nan_is_refused(tmp_path):
    even = save(tmp_path / "even.png", np.full((3, 4), 30000, dtype=np.uint16))
    assert read_image(even, "infrared").abs().max() == 0
    broken = save(tmp_path / "nan.tif", np.array([[1, np.nan]], dtype=np.float32))
    with pytest.raises(UserError, match="nan.tif"):
        read_image(broken, "infrared")


@pytest.mark.parametrize("array", [GREY, GREY.astype(np.uint16) * 100], ids=["8 bit", "16 bit"])
@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.T),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].T),
        (8, lambda a: np.rot90(a)),
    ],
)
def test_exif_orientation_turns_the_picture_and_its_size(tmp_path, array, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = save(tmp_path / "a.png", array, exif=exif)
    want = read_image(save(tmp_path / "b.png", upright(array).copy()), "infrared")
    assert (read_image(file, "infrared") == want).all()
    assert image_header(file)[0] == tuple(want.shape[1:])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"no picture at all", "no known image format"),
        ("cut", r"cut off or damaged"),
    ],
)
def test_a_broken_picture_is_named_with_its_remedy(tmp_path, content, why):
    file = tmp_path / "bad.png"
    if content == "cut":
        noise = np.random.default_rng(0).integers(0, 255, (50, 50), dtype=np.uint8)
        content = save(tmp_path / "whole.png", noise).read_bytes()[:1500]
    file.write_bytes(content)
    with pytest.raises(UserError, match=f"bad.png .*{why}") as e:
        read_image(file, "visible")
    assert "\n" not in str(e.value)


def test_an_absent_picture_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match="a.png"):
        read_image(tmp_path / "a.png", "visible")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(UserError, match="b.png .*directory"):
        image_header(tmp_path / "b.png")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns before it gives up
def test_any_damage_ends_in_a_sentence_and_never_in_another_exception(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)
    refused = 0
    for suffix in ("png", "jpg", "tif", "webp", "bmp"):
        whole = save(tmp_path / f"whole.{suffix}", noise).read_bytes()
        for _ in range(30):
            torn = bytearray(whole[: rng.integers(1, len(whole))])
            for place in rng.integers(0, len(torn), 5):
                torn[place] = rng.integers(256)
            (tmp_path / f"torn.{suffix}").write_bytes(torn)
            try:
                read_image(tmp_path / f"torn.{suffix}", "visible")
            except UserError as error:
                refused += "torn" in str(error)
    assert refused > 100
