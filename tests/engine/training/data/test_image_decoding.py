"""Without this, images that any viewer shows would be other pixels to the net, unsaid."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from engine.training.data.image_decoding import DAMAGED, DeepRange, Treatment, decode, size_of

SIZE = (6, 4)


def written(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data, channels=3, size=SIZE, others=()):
    files = {str(i): other for i, other in enumerate((data, *others))}
    return decode(data, channels, size, DeepRange(list(files), files.__getitem__), scale=True)


def of_values(values):
    return Image.fromarray(np.broadcast_to(np.asarray(values), SIZE[::-1]))


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (Image.new("L", SIZE, 128), "png", 128),
        (Image.new("1", SIZE, 1), "png", 255),
        (Image.new("P", SIZE, 0), "gif", 0),
        (Image.new("L", SIZE, 128), "jpeg", 128),
        (Image.new("CMYK", SIZE, (0, 0, 0, 127)), "tiff", 128),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_modes(image, kind, expected, channels):
    """Images of 1 bit, with palettes or for printing would come out wrong."""
    pixels, _done = decoded(written(image, kind), channels)
    assert pixels.shape == (channels, *SIZE[::-1])
    assert np.unique(pixels).tolist() == [expected]


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation(kind, orientation):
    """Photographs of a phone would lie on their sides."""
    upright = Image.new("L", SIZE, 0)
    upright.paste(255, (0, 0, 3, 4))  # the left half is white
    turned = upright.rotate({1: 0, 3: 180, 6: 90, 8: -90}[orientation], expand=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = written(turned.convert("RGB"), kind, exif=exif)
    assert size_of(data) == SIZE
    pixels, done = decoded(data, channels=1)
    assert (pixels[0, :, 0] > 200).all()
    assert (pixels[0, :, 5] < 50).all()
    assert done.upright == (orientation > 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "RGB"])
@pytest.mark.parametrize("channels", [1, 3])
def test_transparent_parts(mode, channels):
    """Shapes that are only in the alpha channel would be all black."""
    shape = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    shape.paste((0, 0, 0, 255), (0, 0, 3, 4))
    options = {}
    if mode in ("P", "RGB"):
        flat = Image.new(mode, SIZE, 0 if mode == "P" else (9, 9, 9))
        flat.paste(1 if mode == "P" else (0, 0, 0), (0, 0, 3, 4))
        if mode == "P":
            flat.putpalette([0, 0, 0, 0, 0, 0])
        options["transparency"] = 0 if mode == "P" else (9, 9, 9)
    else:
        flat = shape.convert("LA" if mode == "LA" else "RGBA")
    pixels, done = decoded(written(flat, **options), channels)
    assert pixels[0, 0].tolist() == [0, 0, 0, 255, 255, 255]
    assert done.on_white == 1


def test_colours_of_16_bits():
    """A photograph of 12 bits in 16 would be nearly black, and nobody be told of it."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", *SIZE, 16, 2, 0, 0, 0)
    rows = zlib.compress(b"".join(b"\0" + struct.pack(">18H", *[40_000] * 18) for _row in range(SIZE[1])))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    pixels, done = decoded(png)
    assert np.unique(pixels).tolist() == [40_000 >> 8]
    assert done.notes(None)[0] == "1 image has 16 bits for each colour, of which the upper 8 are read"
    assert decoded(written(Image.new("RGB", SIZE)))[1].narrowed == 0


def test_opaque_alpha():
    """An alpha channel that does nothing would be called transparent."""
    assert decoded(written(Image.new("RGBA", SIZE, (9, 9, 9, 255))))[1].on_white == 0


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.uint16([0, 2048, 4095, 0, 0, 0]), [0, 128, 255, 0, 0, 0]),
        (np.uint16([0, 32768, 65535, 0, 0, 0]), [0, 128, 255, 0, 0, 0]),
        (np.uint16([0, 7, 255, 0, 0, 0]), [0, 7, 255, 0, 0, 0]),
        (np.int32([0, 7, 255, 0, 0, 0]), [0, 7, 255, 0, 0, 0]),
        (np.int32([-100, 0, 100, 0, 0, 0]), [0, 128, 255, 128, 128, 128]),
        (np.int32([0, 2**19, 2**20 - 1, 0, 0, 0]), [0, 128, 255, 0, 0, 0]),
        (np.float32([0, 0.5, 1, 0, 0, 0]), [0, 128, 255, 0, 0, 0]),
        (np.float32([0, 0.2, 0.6, 0, 0, 0]), [0, 51, 153, 0, 0, 0]),
        (np.float32([0, 0.01, 0.02, 0, 0, 0]), [0, 128, 255, 0, 0, 0]),
        (np.uint16([30000, 30500, 31000, 30000, 30000, 30000]), [0, 128, 255, 0, 0, 0]),
        (np.float32([0, 7, 200, 0, 0, 0]), [0, 7, 200, 0, 0, 0]),
        (np.float32([-2, 0, 2, 0, 0, 0]), [0, 128, 255, 128, 128, 128]),
    ],
)
def test_more_than_8_bits(values, expected):
    """Images of a microscope or a scanner would be all black or all white."""
    pixels, done = decoded(written(of_values(values), "tiff"), channels=1)
    assert pixels[0, 0].tolist() == expected
    assert done.deep == 1


def test_one_range_for_all():
    """A dark image would be as bright as the others, if each was scaled by itself."""
    bright = written(of_values(np.uint16([4000] * 6)), "tiff")
    pixels, done = decoded(written(of_values(np.uint16([100] * 6)), "tiff"), channels=1, others=[bright, b"damaged"])
    assert np.unique(pixels).tolist() == [6]
    assert done.range == (0, 4095)


def test_values_that_are_not_finite():
    """A pixel of no value would become any grey."""
    with pytest.raises(ValueError, match="not finite"):
        decoded(written(of_values(np.float32([0, np.nan, 1, 0, 0, 0])), "tiff"))


@pytest.mark.parametrize("kind", ["gif", "png", "webp", "tiff"])
def test_the_first_of_several(kind):
    """An animation would be refused, or another frame be taken, unsaid."""
    first, second = Image.new("RGB", SIZE, "white"), Image.new("RGB", SIZE, "black")
    pixels, done = decoded(written(first, kind, save_all=True, append_images=[second]))
    assert np.unique(pixels).tolist() == [255]
    assert done.first_of_many == 1


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "tiff", "webp", "bmp"])
def test_cut_short(kind):
    """Half an image would be trained on, its rest grey."""
    noise = np.random.default_rng(0).integers(0, 256, (*SIZE[::-1], 3), dtype=np.uint8)
    data = written(Image.fromarray(noise), kind)
    with pytest.raises(DAMAGED):
        decoded(data[: len(data) * 3 // 4])


def test_notes_add_up():
    """Counts of several threads, or those kept in the cache, would be wrong."""
    treatment = Treatment()
    dark, bright = (written(of_values(np.uint16([value] * 6))) for value in (0, 200))
    for data in (dark, bright):
        treatment.add(decoded(data, size=(3, 3), others=[dark, bright])[1])
    again = Treatment.from_json(treatment.to_json())
    assert again == treatment
    assert again.notes(3) == [
        "2 images are not square, and were stretched to be",
        "2 images have more than 8 bits: 0 … 255 became 0 … 1, in 256 steps",
        "2 images are of one colour throughout",
    ]
