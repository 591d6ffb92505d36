"""Reading pictures: values worked by hand, whatever the file's format; broken files are named."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from freqkd_lite.data.images import image_header, read_image
from tests.refused import refused

GREY = np.array([[0, 51, 102], [153, 204, 255]], dtype=np.uint8)  # 0, .2, .4 / .6, .8, 1


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "bmp"])
@pytest.mark.parametrize("modality", ["visible", "infrared"])
def test_grey_of_8_bits_is_divided_by_255_and_stands_in_three_channels(tmp_path, suffix, modality):
    options = {"lossless": True} if suffix == "webp" else {}
    planes = read_image(save(tmp_path / f"a.{suffix}", GREY, **options), modality)
    assert planes.numpy() == pytest.approx(np.stack([GREY / 255] * 3))


def test_colour_stays_in_visible_is_luma_in_infrared_and_has_no_transparency(tmp_path):
    file = save(tmp_path / "a.png", np.full((2, 2, 4), (255, 0, 51, 7), dtype=np.uint8))
    assert read_image(file, "visible")[:, 0, 0].tolist() == pytest.approx([1, 0, 0.2])
    # ITU-R 601: 0.299 of red and 0.114 of blue; Pillow rounds to 8 bits
    assert read_image(file, "infrared")[:, 1, 1].tolist() == pytest.approx([82 / 255] * 3)
    palette = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), mode="P")
    palette.putpalette([10, 20, 30, 255, 0, 51])
    palette.save(tmp_path / "p.png", transparency=1)
    found = read_image(tmp_path / "p.png", "visible")[:, 0].T.numpy() * 255
    assert found == pytest.approx(np.array([[10, 20, 30], [255, 0, 51]]))


def write_tiff(path, array, order="<", packed=False, orientation=1, dark=1):
    """A TIFF of one strip after the standard (Adobe, TIFF 6.0), for Pillow writes not all kinds."""
    strip = array.astype(array.dtype.newbyteorder(order)).tobytes()
    strip = zlib.compress(strip) if packed else strip
    strip += b"\0" * (len(strip) % 2)
    (height, width), (kind, size) = array.shape, (array.dtype.kind, array.dtype.itemsize)
    tags = {256: width, 257: height, 258: 8 * size, 259: 8 if packed else 1, 262: dark, 273: 8}
    tags |= {274: orientation, 277: 1, 278: height, 279: len(strip), 339: 1 + "uif".index(kind)}
    entries = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items()]
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(strip))
    count = struct.pack(f"{order}H", len(tags))
    path.write_bytes(b"".join([head, strip, count, *entries, b"\0" * 4]))
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["u2", "f2", "f4", "f8"])
def test_more_than_8_bits_are_stretched_from_percentile_to_percentile(
    tmp_path, kind, order, packed
):
    # 1001 values 500, 501, ..., 1500: percentiles 0.5 and 99.5 are 505 and 1495
    ramp = np.arange(500, 1501).astype(kind)[None]
    files = [write_tiff(tmp_path / "a.tif", ramp, order, packed)]
    files += [save(tmp_path / "a.png", ramp)] if kind == "u2" else []
    if (kind, order) != ("u2", ">"):  # which Pillow doesn't know with white as zero
        files.append(write_tiff(tmp_path / "w.tif", 2000 - ramp, order, packed, dark=0))
    for file in files:
        plane = read_image(file, "infrared")[2, 0].numpy()
        assert plane[[0, 5, 500, 995, 1000]] == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-4)
        assert plane[252] == pytest.approx((752 - 505) / 990, abs=1e-4)
        assert image_header(file) == ((1, 1001), True)


def test_an_even_16_bit_picture_is_black_and_one_with_nan_is_refused(tmp_path):
    even = save(tmp_path / "even.png", np.full((3, 4), 30000, dtype=np.uint16))
    assert read_image(even, "infrared").abs().max() == 0
    for kind in ("f2", "f4", "f8"):
        broken = write_tiff(tmp_path / "nan.tif", np.array([[1, np.nan]], dtype=kind))
        refused("nan.tif", read_image, broken, "infrared")


def test_numbers_that_would_be_cut_or_misread_are_refused(tmp_path):
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    for colours, samples in ((2, 3), (4, 2), (6, 4)):  # RGB, grey and RGB with transparency
        head = chunk(b"IHDR", struct.pack(">2I5B", 1, 1, 16, colours, 0, 0, 0))
        body = chunk(b"IDAT", zlib.compress(bytes(1 + 2 * samples))) + chunk(b"IEND", b"")
        (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + body)
        refused(r"a\.png .*16 bits", read_image, tmp_path / "a.png", "infrared")
    refused("sign", image_header, write_tiff(tmp_path / "a.tif", GREY.view("i1")))


UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["u1", "u2", "f2", "f4", "f8"])
def test_orientation_turns_the_picture_and_its_size_in_any_format(tmp_path, kind, orientation):
    array, upright = (GREY / 3).astype(kind), UPRIGHT[orientation]
    files = [
        write_tiff(tmp_path / f"{packed}.tif", array, "<", packed, orientation)
        for packed in (False, True)
    ]
    if kind[0] == "u":
        files += [
            save(tmp_path / f"a.{of}", array, exif=turned(orientation)) for of in ("png", "tif")
        ]
    want = read_image(write_tiff(tmp_path / "upright.tif", upright(array)), "infrared")
    for file in files:
        assert (read_image(file, "infrared") == want).all()
        assert image_header(file)[0] == tuple(want.shape[1:])
    if kind == "u1":  # no JPEG is exact
        steps = np.repeat(np.repeat(GREY, 16, 0), 16, 1)
        file = save(tmp_path / "a.jpg", steps, exif=turned(orientation), quality=100)
        expected = pytest.approx(upright(steps) / 255, abs=0.02)
        assert read_image(file, "visible")[0].numpy() == expected


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"no picture at all", "not in a known image format"),
        ("cut", "cut off or damaged"),
        (None, "missing"),
        ("folder", "directory"),
    ],
)
def test_a_broken_picture_is_named_with_its_remedy(tmp_path, content, why):
    file = tmp_path / "bad.png"
    if content == "cut":
        noise = np.random.default_rng(0).integers(0, 255, (50, 50), dtype=np.uint8)
        content = save(tmp_path / "whole.png", noise).read_bytes()[:1500]
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    refused(f"bad.png .*{why}", read_image, file, "visible")


def test_a_picture_too_large_to_open_is_not_called_damaged(tmp_path, monkeypatch):
    file = save(tmp_path / "a.png", np.zeros((20, 30), dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)  # Pillow refuses more than twice that
    for read in (image_header, lambda path: read_image(path, "visible")):
        refused(r"a\.png .*crop", read, file)
