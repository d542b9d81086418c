"""One image of a file, as bytes of colours or grey, and what had to be done to it."""

import io
import math
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from descent.common.i18n import _, ngettext
from descent.common.numbers import number

Size = tuple[int, int]  # width, height
_Bytes = NDArray[np.uint8]
_PNG_DEPTH = 24  # the place of the byte that says how many bits a value of a PNG has
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
)


class WrongSizeError(Exception):
    """The image has another size than the first, and they are not to be scaled."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size


@dataclass
class Treatment:
    """How many images needed what, and the sizes that they had.

    upright: turned by their EXIF orientation. on_white: with transparent parts. first_of_many: animations and files
    with several pages. deep: with more than 8 bits. narrowed: of colours of 16 bits, read with 8. uniform: of one
    colour throughout, once decoded. stretched: scaled by another factor in height than in width. smallest, largest:
    by area.
    """

    upright: int = 0
    on_white: int = 0
    first_of_many: int = 0
    deep: int = 0
    narrowed: int = 0
    uniform: int = 0
    stretched: int = 0
    smallest: Size | None = None
    largest: Size | None = None
    range: tuple[float, float] | None = None

    def add(self, other: Self) -> None:
        for name in ("upright", "on_white", "first_of_many", "deep", "narrowed", "uniform", "stretched"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        sizes = [size for size in (self.smallest, self.largest, other.smallest, other.largest) if size is not None]
        if sizes:
            self.smallest, self.largest = min(sizes, key=_area), max(sizes, key=_area)
        self.range = self.range or other.range

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Raises TypeError for values of another kind."""
        made = cls(**values)
        made.smallest, made.largest = (size and (size[0], size[1]) for size in (made.smallest, made.largest))
        made.range = made.range and (made.range[0], made.range[1])
        return made

    def notes(self, scaled_to: int | None) -> list[str]:
        """Return notes for the user. scaled_to: width and height of all images, if they were scaled."""
        texts = []
        if scaled_to is not None and self.smallest is not None and self.largest is not None:
            if self.smallest != self.largest:
                text = _(
                    "images of {smallest} to {largest} were scaled to {size}",
                    smallest=shown_size(self.smallest),
                    largest=shown_size(self.largest),
                    size=shown_size((scaled_to, scaled_to)),
                )
                texts.append(text)
            if self.stretched:
                texts.append(
                    ngettext(
                        "{count:,} image is not square, and was stretched to be",
                        "{count:,} images are not square, and were stretched to be",
                        self.stretched,
                    )
                )
        if self.upright:
            texts.append(
                ngettext(
                    "{count:,} image was turned upright, by its EXIF orientation",
                    "{count:,} images were turned upright, by their EXIF orientation",
                    self.upright,
                )
            )
        if self.on_white:
            texts.append(
                ngettext(
                    "{count:,} image with transparent parts was laid on white",
                    "{count:,} images with transparent parts were laid on white",
                    self.on_white,
                )
            )
        if self.first_of_many:
            texts.append(
                ngettext(
                    "{count:,} file holds several images: the first is taken",
                    "{count:,} files hold several images: the first is taken",
                    self.first_of_many,
                )
            )
        if self.deep and self.range is not None:
            texts.append(
                ngettext(
                    "{count:,} image has more than 8 bits: {low} … {high} became 0 … 1, in 256 steps",
                    "{count:,} images have more than 8 bits: {low} … {high} became 0 … 1, in 256 steps",
                    self.deep,
                    low=number(self.range[0]),
                    high=number(self.range[1]),
                )
            )
        if self.narrowed:
            texts.append(
                ngettext(
                    "{count:,} image has 16 bits for each colour, of which the upper 8 are read",
                    "{count:,} images have 16 bits for each colour, of which the upper 8 are read",
                    self.narrowed,
                )
            )
        if self.uniform:
            texts.append(
                ngettext(
                    "{count:,} image is of one colour throughout",
                    "{count:,} images are of one colour throughout",
                    self.uniform,
                )
            )
        return texts


class DeepRange:
    """What becomes black and white of all images with more than 8 bits in a set. It is found once, when needed."""

    def __init__(self, files: Sequence[str], read: Callable[[str], bytes]) -> None:
        self._files = files
        self._read = read
        self._lock = threading.Lock()
        self._found: dict[bool, tuple[float, float]] | None = None

    @classmethod
    def known(cls, found: tuple[float, float]) -> Self:
        """Return the range that was found before, for images of the same kind."""
        made = cls((), lambda file: b"")
        made._found = {True: found, False: found}
        return made

    def of(self, image: Image.Image) -> tuple[float, float]:
        """Return the lowest and the highest value of the images of this kind, floats or whole numbers."""
        with self._lock:
            if self._found is None:
                self._found = self._find()
            return self._found[image.mode == "F"]

    def _find(self) -> dict[bool, tuple[float, float]]:
        seen: dict[bool, list[float]] = {}
        for file in self._files:
            try:
                with Image.open(io.BytesIO(self._read(file))) as image:
                    if _is_deep(image):
                        values = _finite(image)
                        seen.setdefault(image.mode == "F", []).extend((float(values.min()), float(values.max())))
            except DAMAGED:
                continue  # it is reported where it is decoded
        return {floats: _usual_range(min(values), max(values), floats) for floats, values in seen.items()}


def _usual_range(low: float, high: float, floats: bool) -> tuple[float, float]:
    """Return the range that values were probably meant to have, such as 0 … 1, 0 … 255 or 0 … 4095.

    It is their own range if they have negative ones, or would use less than half of the usual one.
    """
    bits = max(8, math.ceil(math.log2(max(high, 0) + 1)))
    white = 2.0**bits - 1 if not floats else 1.0 if high <= 1 else 255.0
    return (0.0, white) if low >= 0 and white / 2 <= high - low <= white else (low, high)


def size_of(data: bytes) -> Size:
    """Return the size of an image once it is upright. Raises one of DAMAGED."""
    with _opened(data) as image:
        return _upright_size(image)


def decode(data: bytes, channels: int, size: Size, deep: DeepRange, *, scale: bool) -> tuple[_Bytes, Treatment]:
    """Decode an image -> (C, H, W) bytes. scale: whether to change its size if it has another.

    Transparent parts become white, values of more than 8 bits are brought into 0 … 255, and of several images the
    first is taken. Raises one of DAMAGED, and WrongSizeError.
    """
    with _opened(data) as opened:
        original = _upright_size(opened)
        if not scale and original != size:
            raise WrongSizeError(original)
        turned = _orientation(opened) > 1
        done = Treatment(
            upright=int(turned),
            first_of_many=int(opened.format != "MPO" and getattr(opened, "is_animated", False)),
            narrowed=int(opened.format == "PNG" and data[_PNG_DEPTH] == 16 and not _is_deep(opened)),
            stretched=int(original[0] * size[1] != original[1] * size[0]),
            smallest=original,
            largest=original,
        )
        # A JPEG of a large photograph can be decoded at a fraction of its size.
        opened.draft("L" if channels == 1 else "RGB", size)
        image = _convert(ImageOps.exif_transpose(opened) if turned else opened, channels, deep, done)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR)
        pixels: _Bytes = np.asarray(image)
    done.uniform = int((pixels == pixels[:1, :1]).all())
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1), done


def reason_of(error: BaseException) -> str:
    """Return why an image can't be read."""
    if isinstance(error, UnidentifiedImageError):
        return _("not an image")
    return str(error).rstrip(".") or type(error).__name__


def shown_size(size: Size) -> str:
    return f"{size[0]} × {size[1]}"


def _opened(data: bytes) -> Image.Image:
    """Open an image. Raises one of DAMAGED."""
    if not data:
        raise ValueError(_("it is empty (0 bytes)"))
    return Image.open(io.BytesIO(data))


def _area(size: Size) -> int:
    return size[0] * size[1]


def _orientation(image: Image.Image) -> int:
    found = image.getexif().get(0x0112, 1)
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright_size(image: Image.Image) -> Size:
    width, height = image.size
    if image.format == "TIFF":  # Pillow turns it by itself
        return width, height
    return (height, width) if _orientation(image) >= 5 else (width, height)


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _finite(image: Image.Image) -> NDArray[Any]:
    values = np.asarray(image)
    if not np.isfinite(values).all():
        raise ValueError(_("it holds values that are not finite"))
    return values


def _convert(image: Image.Image, channels: int, deep: DeepRange, done: Treatment) -> Image.Image:
    """Convert to grey or colour of 8 bits."""
    if _is_deep(image):
        values = _finite(image).astype(np.float64)
        low, high = done.range = deep.of(image)
        done.deep = 1
        image = Image.fromarray(np.rint((values - low) / (high - low or 1) * 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = _on_white(image, done)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _on_white(image: Image.Image, done: Treatment) -> Image.Image:
    with_alpha = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    if with_alpha.getchannel("A").getextrema() == (255, 255):
        return image if image.mode != "P" else with_alpha.convert("RGB")
    done.on_white = 1
    white = Image.new("RGBA", with_alpha.size, "white")
    white.alpha_composite(with_alpha)
    return white.convert("RGB")
