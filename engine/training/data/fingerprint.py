"""The fingerprint of the user's own data, by which a run that goes on notices that they have changed.

It is of the samples before they are split and scaled, so that neither the device nor rounding has a part in it.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from descent.common.errors import DataError
from descent.common.i18n import _, ngettext
from descent.common.text import shorten
from engine.preset import schema
from engine.training.data.dataset import Array, Dataset, HeldOut, Inputs, Samples, Undecoded

OWN = (schema.ImagesData, schema.NpzData, schema.CsvData, schema.CodeData)  # what a user can change


def fingerprint_of(section: schema.Data, samples: Samples) -> dict[str, Any] | None:
    """Return the fingerprint of a user's own samples as run.json holds it. None for data that can't change."""
    copied = isinstance(section, schema.DownloadedData) and section.source == "images"
    if not (copied or isinstance(section, OWN)):
        return None
    parts = {
        "samples": HeldOut(samples.inputs, samples.targets),
        "validation_samples": samples.validation,
        "test_samples": samples.test,
    }
    there = {name: part for name, part in parts.items() if part is not None}
    return {
        **{name: len(part.targets) for name, part in there.items()},
        "shape": list(samples.inputs.shape[1:]),
        "classes": list(samples.classes),
        "columns": list(samples.input_names),
        "inputs": [of_inputs(part.inputs) for part in there.values()],
        "targets": [_checksum(part.targets) for part in there.values()],
    }


def differences(then: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> list[str]:
    """Return what differs between two fingerprints, for people. Nothing if one of them is not known."""
    if then is None or now is None:
        return []
    named: dict[str, Callable[[Any], str]] = {
        "samples": lambda n: ngettext("{count:,} sample", "{count:,} samples", n),
        "validation_samples": lambda n: ngettext(
            "{count:,} validation sample", "{count:,} validation samples", n or 0
        ),
        "test_samples": lambda n: ngettext("{count:,} test sample", "{count:,} test samples", n or 0),
        "shape": lambda shape: _("samples of shape {shape}", shape=tuple(shape)),
        "classes": lambda names: _("the classes {names}", names=shorten(", ".join(names), 60) or _("none")),
        "columns": lambda names: _("the columns {names}", names=shorten(", ".join(names), 60) or _("none")),
    }
    found = [
        _("{now}, not {before}", now=words(now.get(key)), before=words(then.get(key)))
        for key, words in named.items()
        if then.get(key) != now.get(key)
    ]
    if found:
        return found
    contents = {
        "inputs": _("other inputs, or in another order"),
        "targets": _("other targets, or in another order"),
    }
    return [words for key, words in contents.items() if then.get(key) != now.get(key)]


def check_same(dataset: Dataset, section: schema.Data, facts: Mapping[str, Any], run_id: str) -> None:
    """Raise DataError, naming what differs, if the data are not those that a run began with.

    facts: its run.json, or of its replay parent.json. That of an older Descent doesn't say what the data were.
    """
    found = differences(facts.get("fingerprint"), dataset.fingerprint)
    if not found:
        return
    differs = "; ".join(found)
    if isinstance(section, schema.CodeData):
        raise DataError(
            _(
                "data.code gives {run} other data than when it began: {differs}. It must return the same samples "
                "each time. Its draws from the global generators of random, NumPy and torch are seeded by data.seed. "
                "A generator of its own needs a seed too. To go on with these data, fork the run: descent fork {run}",
                run=run_id,
                differs=differs,
            )
        )
    raise DataError(
        _(
            "the data are not those that {run} began with: {differs}. With these its splits would be others, and "
            "samples that it has trained on would validate and test it. Put the former data back, or go on with "
            "these in a fork: descent fork {run}",
            run=run_id,
            differs=differs,
        )
    )


def of_inputs(inputs: Inputs) -> str:
    """Return the checksum of an array, or what images that are not decoded yet say of themselves."""
    return _checksum(inputs) if isinstance(inputs, np.ndarray) else cast(Undecoded, inputs).identity()


def _checksum(values: Array) -> str:
    """Return the CRC of the values, which notices every accident and takes a fraction of the time of reading them."""
    data = np.ascontiguousarray(values).data
    return f"{zlib.crc32(data.cast('B')):08x}"
