"""Which images of a folder can't be read, and which sizes they have, before anything is trained on them."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from descent.common.i18n import _, ngettext
from engine.preset import schema
from engine.training.data.array_files import existing
from engine.training.data.image_decoding import DAMAGED, DeepRange, Size, Treatment, decode, shown_size
from engine.training.data.image_folder import damaged_images
from engine.training.data.image_layout import list_images

_MOST = 5000  # images that are decoded
_SIDE = (
    32  # pixels, to which images are decoded. A large JPEG decodes several times as fast at a fraction of its size
)


@dataclass(frozen=True)
class Survey:
    """What decoding the images has shown.

    sizes: those of the readable images that were looked at, width and height. is_mixed: whether they have several,
    and are not to be scaled to one. problem: why they can't be trained on as they are, or "". notes: for the user.
    """

    sizes: frozenset[Size]
    is_mixed: bool
    damaged: tuple[str, ...]
    problem: str
    notes: tuple[str, ...]


def survey(section: schema.ImagesData) -> Survey:
    """Decode the images, or an even share of very many. Raises DataError for a folder that can't be listed."""
    path = existing(section.path)
    listing = list_images(path, section.labels, section.target)
    files = [image.file for image in (*listing.train, *listing.validation, *listing.test)]
    looked_at = files[:: -(-len(files) // _MOST)]
    side = section.image_size or _SIDE
    deep = DeepRange(files, listing.source.read)
    damaged: dict[str, BaseException] = {}

    def decoded(file: str) -> Treatment:
        try:
            return decode(listing.source.read(file), section.channels, (side, side), deep, scale=True)[1]
        except DAMAGED as error:
            damaged[file] = error
            return Treatment()

    treatment = Treatment()
    sizes: set[Size] = set()
    with ThreadPoolExecutor(min(8, len(os.sched_getaffinity(0)))) as pool:
        for done in pool.map(decoded, looked_at):
            treatment.add(done)
            if done.smallest is not None:
                sizes.add(done.smallest)
    notes = treatment.notes(section.image_size)
    if len(looked_at) < len(files):
        notes.append(
            _("of {count:,} images, {number:,} were looked at", count=len(files), number=len(looked_at)),
        )
    is_mixed = len(sizes) > 1 and section.image_size is None
    if is_mixed:
        notes.append(_mixed(sizes))
    problem = str(damaged_images(path, damaged)) if damaged else ""
    return Survey(frozenset(sizes), is_mixed, tuple(sorted(damaged)), problem, tuple(notes))


def _mixed(sizes: set[Size]) -> str:
    """Return the note on images of several sizes, which are refused without data.image_size."""
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    return ngettext(
        "the images have {count:,} size: {smallest}",
        "the images have {count:,} sizes, {smallest} to {largest}: data.image_size brings them to one",
        len(sizes),
        smallest=shown_size(ordered[0]),
        largest=shown_size(ordered[-1]),
    )
