"""Columns of a table: what their cells say, as numbers, truth values, dates or words."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from descent.common.i18n import _
from descent.common.text import clean

Array = NDArray[Any]

Kind = Literal["number", "boolean", "date", "category"]

# What counts as a missing cell, in inputs and targets, in any case of letters. `data.missing_words` replaces them.
MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "?", "-", ".")
# Pairs of words for false and true.
_BOOLEANS = (("false", "true"), ("no", "yes"), ("f", "t"), ("n", "y"))
# Numbers whose thousands are separated, by their decimal sign: 1,234,567.8 and 1.234.567,8.
_GROUPED = {".": re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?"), ",": re.compile(r"[-+]?\d{1,3}(\.\d{3})+(,\d+)?")}
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
# A number with its unit, as $3.50, 1,200 €, 45 % or 3.5kg. Before it only what a currency has: X100 is a name.
_WITH_UNIT = re.compile(
    r"(?P<before>[-+]?(?:[A-Z]{0,3}[$€£¥₩₹]|USD|EUR|GBP|KRW)? ?)"
    r"(?P<number>[-+]?\d[\d,.]*)(?P<after> ?[^\d\s,.;:/()-]{0,8})"
)
_QUARTER = re.compile(r"\d{4}[-_ :/]?Q[1-4]|Q[1-4][-_ :/]?\d{4}", re.IGNORECASE)
_NEARLY_ALL = 0.9  # of the words
_EPOCH = datetime(1970, 1, 1)
_DAY = 86400.0
DATE_NUMBER = "%Y%m%d"  # 20240131, which is a number too
_FIRST_DATE, _LAST_DATE = 18000101, 21991231  # of the numbers that are taken for dates
_DATES = (
    "iso",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%b %d %Y",
    "%b %d, %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%b-%d-%Y",
    "%B %d %Y",
    "%B %d, %Y",
    "%d %B %Y",
    "%b %Y",
    "%B %Y",
    "%Y-%m",
    DATE_NUMBER,
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")


@dataclass(frozen=True, eq=False)
class Column:
    """One column of N cells: numbers, or words.

    numbers: (N,) float64, NaN where a cell is missing; None for words. codes: (N,) int32 places in `words`, −1 where
    a cell is missing; None for numbers. words: in the order in which they first appear.
    """

    name: str
    numbers: Array | None = None
    codes: Array | None = None
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, cells: Iterable[object], missing: Sequence[str] = MISSING) -> "Column":
        """Make a column of raw cells: numbers, truth values, texts, or None and NaN for missing ones."""
        if isinstance(cells, np.ndarray) and cells.dtype.kind in "iuf":
            return cls(name, numbers=cells.astype(np.float64))
        places: dict[str, int] = {}
        codes = np.array([_place(cell, missing, places) for cell in cells], dtype=np.int32)
        column = cls(name, codes=codes, words=tuple(places))
        return column.as_numbers() or column

    def __len__(self) -> int:
        values = self.codes if self.numbers is None else self.numbers
        assert values is not None
        return len(values)

    def pick(self, rows: Array) -> "Column":
        """Return the column of these rows."""
        if self.numbers is not None:
            return replace(self, numbers=self.numbers[rows])
        assert self.codes is not None
        return replace(self, codes=self.codes[rows])

    @property
    def is_missing(self) -> Array:
        """Which cells are missing: (N,) bool."""
        if self.numbers is not None:
            return np.isnan(self.numbers)
        assert self.codes is not None
        return self.codes < 0

    def present(self) -> list[str]:
        """Return the words that some cell of these rows holds, sorted."""
        assert self.codes is not None
        return sorted(self.words[code] for code in np.unique(self.codes) if code >= 0)

    def as_numbers(self) -> "Column | None":
        """Return the column as numbers, or None if one of its words is none, or if there are no words."""
        if self.numbers is not None:
            return self
        decimal = decimal_of(self.words)
        values = [number(word, decimal) for word in self.words]
        if not values or None in values:
            return None
        return Column(self.name, numbers=self.mapped(lambda word: number(word, decimal)))

    def as_words(self) -> "Column":
        """Return the column as words; whole numbers are written without a point."""
        if self.numbers is None:
            return self
        values, places = np.unique(self.numbers, return_inverse=True)
        words = tuple(f"{value:.0f}" if value == round(value) else repr(float(value)) for value in _finite(values))
        codes = np.where(self.is_missing, -1, places).astype(np.int32)
        return Column(self.name, codes=codes, words=words)

    def mapped(self, value: Callable[[str], float | None]) -> Array:
        """Return what `value` makes of each word, (N,) float64, NaN where a cell is missing or has no value."""
        assert self.codes is not None
        values = [value(word) for word in self.words]
        table = np.array([*(np.nan if v is None else v for v in values), np.nan])
        found: Array = table[self.codes]
        return found


def _finite(values: Array) -> Array:
    return values[~np.isnan(values)]


def _place(cell: object, missing: Sequence[str], places: dict[str, int]) -> int:
    if cell is None or (isinstance(cell, float | np.floating) and np.isnan(cell)):
        return -1
    word = text(str(cell))
    return -1 if word.casefold() in missing else places.setdefault(word, len(places))


def counted_row(index: int) -> str:
    """Return what an error calls a row of an array."""
    return _("row {index} (counted from 0)", index=index)


def text(cell: str) -> str:
    """Return a cell or a name as Descent keeps it.

    It has no blanks around it and nothing that a terminal would obey, and one form where Unicode has several: a
    letter with its accent is one character.
    """
    cell = cell.strip()
    return cell if cell.isascii() and cell.isprintable() else clean(unicodedata.normalize("NFC", cell)).strip()


def decimal_of(words: Collection[str]) -> str:
    """Return the decimal sign of a column's words.

    It is the comma if one is like 1.234,5, or if none has a point and one is like 34,15, which has no thousands.
    """
    commas = [word for word in words if "," in word]
    if any("." in word and _GROUPED[","].fullmatch(word) for word in commas):
        return ","
    ungrouped = any(_DECIMAL_COMMA.fullmatch(word) and not _GROUPED["."].fullmatch(word) for word in commas)
    return "," if ungrouped and not any("." in word for word in words) else "."


def number(word: str, decimal: str = ".") -> float | None:
    """Return the number that a word is, or None. The other sign than the decimal one may separate its thousands."""
    other = "," if decimal == "." else "."
    if other in word and _GROUPED[decimal].fullmatch(word):
        word = word.replace(other, "")
    word = word.replace(decimal, ".")
    if "_" in word:
        return None  # Python reads 1_000, nobody else does
    try:
        return float(word)
    except ValueError:
        return None


def unit_of(words: Sequence[str]) -> str | None:
    """Return the unit with which nearly all words are numbers, such as "$" or "kg", or None."""
    found = [match for word in words if (match := _WITH_UNIT.fullmatch(word)) and number(match["number"]) is not None]
    units = Counter((match["before"].strip("+- ") + match["after"].strip()) for match in found)
    unit, count = next(iter(units.most_common(1)), ("", 0))
    return unit if unit and count >= _NEARLY_ALL * len(words) else None


def are_quarters(words: Sequence[str]) -> bool:
    """Return whether the words are quarters of years, such as 1974Q1, which are read as no dates."""
    return bool(words) and all(_QUARTER.fullmatch(word) for word in words)


# --- truth values and dates, by the words of a column ---


def boolean_words(words: Iterable[str]) -> tuple[str, str] | None:
    """Return the pair for false and true that these words are of, or None."""
    found = {word.casefold() for word in words}
    return next((pair for pair in _BOOLEANS if found and found <= set(pair)), None)


def truth(word: str, pair: Sequence[str]) -> float | None:
    """Return 0 or 1 for a word of the pair, None for another."""
    lowered = word.casefold()
    return float(pair.index(lowered)) if lowered in pair else None


def date_formats(words: Sequence[str]) -> list[str]:
    """Return the formats in which every one of the words is a date. More than one: the words don't tell which.

    Of formats that give the same dates, as with May, the first stands for all.
    """
    if not words or not any(c.isdigit() for c in words[0]) or len(words[0]) > 40:
        return []
    likely = [name for name in _formats() if days(words[0], name) is not None]
    found = [name for name in likely if all(days(word, name) is not None for word in words)]
    if len(found) < 2:
        return found
    return [*{tuple(days(word, name) for word in words): name for name in reversed(found)}.values()]


def _formats() -> Iterable[str]:
    for name in _DATES:
        yield from ("iso",) if name == "iso" else (name + time for time in _TIMES)


def are_dates(numbers: Array) -> bool:
    """Return whether each of the numbers, of which NaN are missing, is a date such as 20240131."""
    there = numbers[~np.isnan(numbers)]
    if not len(there) or there.min() < _FIRST_DATE or there.max() > _LAST_DATE or (there != np.round(there)).any():
        return False
    return all(days(f"{value:.0f}", DATE_NUMBER) is not None for value in np.unique(there))


def days(word: str, name: str) -> float | None:
    """Return the days from 1970-01-01 (UTC) to a date in the format called `name`, or None if it is none."""
    try:
        if name == DATE_NUMBER and len(word) != 8:
            return None
        if name == "iso":
            if not (word[:4].isdigit() and word[4:5] == "-"):
                return None
            moment = datetime.fromisoformat(word)
        else:
            moment = datetime.strptime(word, name)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return (moment - _EPOCH).total_seconds() / _DAY
