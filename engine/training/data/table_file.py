"""The columns of a table's file: parsed once by Polars, then read from the user's cache."""

import contextlib
import hashlib
import json
import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import platformdirs

from descent.common.errors import DataError
from descent.common.files import naming
from descent.common.i18n import _, language
from engine.training.data.dataset import Array
from engine.training.data.table_columns import Column, text
from engine.training.data.table_text import Options, Survey, TextTable, format_of, survey

if TYPE_CHECKING:
    import polars as pl

_VERSION = 2  # of what is kept in the cache; another one makes the files be parsed anew
_MOST_WORDS = 100_000  # different words of a column; one with more holds texts, which are not kept
_PARQUET_ROWS = 100_000  # that are parsed at a time
_CACHE_BYTES = 4 << 30  # kept in all; the tables that were used longest ago go first
_NUMBER, _WORD, _TEXT = "number", "word", "text"  # what a column holds
_SIZES = {_NUMBER: 8, _WORD: 4, _TEXT: 0}


@dataclass(frozen=True)
class Facts:
    """What is known of a parsed table besides its cells.

    names: of the columns. kinds: "number", "word", or "text" for too many different words. words: of each column.
    blocks: the rows of each block of cells. jumps: the rows from which on the line of a row is `row + shift`, and the
    shifts; none for a file that has no lines. notes: for the user. strays: for each column that holds too many words,
    of which most are numbers, its place, the first row whose cell is none, that cell, and how many there are.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    blocks: tuple[int, ...]
    jumps: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]
    nameless_first: bool
    digest: str
    strays: tuple[tuple[int, int, str, int], ...] = ()


class TableFile:
    """A table: its columns by name, read from the disk when they are asked for."""

    def __init__(self, path: Path, file: IO[bytes], facts: Facts) -> None:
        self.path = path
        self.facts = facts
        self._file = file

    def __len__(self) -> int:
        return sum(self.facts.blocks)

    def is_text(self, name: str) -> bool:
        """Return whether the column holds more different words than are kept."""
        return self.facts.kinds[self.facts.names.index(name)] == _TEXT

    def words(self, name: str) -> tuple[str, ...]:
        """Return the different words of a column; none of a column of numbers."""
        return self.facts.words[self.facts.names.index(name)]

    def stray(self, name: str) -> tuple[int, str, int] | None:
        """Return the first row, cell and count of what is no number in a column of numbers that `is_text`."""
        at = self.facts.names.index(name)
        return next((stray[1:] for stray in self.facts.strays if stray[0] == at), None)

    def column(self, name: str) -> Column:
        """Return a column that `is_text` is not true of."""
        at = self.facts.names.index(name)
        kind = self.facts.kinds[at]
        dtype = np.dtype(np.float64 if kind == _NUMBER else np.int32)
        before = sum(_SIZES[other] for other in self.facts.kinds[:at])
        width = sum(_SIZES[other] for other in self.facts.kinds)
        values = np.empty(len(self), dtype=dtype)
        start = place = 0
        for rows in self.facts.blocks:
            part = os.pread(self._file.fileno(), rows * dtype.itemsize, place + before * rows)
            values[start : start + rows] = np.frombuffer(part, dtype=dtype)
            start += rows
            place += width * rows
        if kind == _NUMBER:
            return Column(name, numbers=values)
        return Column(name, codes=values, words=self.words(name))

    def row(self, index: int) -> str:
        """Return what an error calls a row: the line of the file on which it ends."""
        if not self.facts.jumps:
            return _("row {number}", number=index + 1)
        return _("line {line}", line=index + self._shifts[bisect_right(self._from, index) - 1])

    def lines(self) -> list[int]:
        """Return the line of the file on which each row ends, or nothing if the file has no lines."""
        if not self.facts.jumps:
            return []
        shifts = np.repeat(self._shifts, np.diff([*self._from, len(self)]))
        lines: list[int] = (np.arange(len(self)) + shifts).tolist()
        return lines

    @cached_property
    def _from(self) -> list[int]:
        return [row for row, _shift in self.facts.jumps]

    @cached_property
    def _shifts(self) -> list[int]:
        return [shift for _row, shift in self.facts.jumps]


def open_table(path: Path, options: Options) -> TableFile:
    """Return the table of a text or parquet file, from the cache where the same bytes were parsed before.

    Raises DataError if it can't be read.
    """
    parquet = format_of(path) == "parquet"
    found = survey(path, "" if parquet else options.encoding)
    settings = json.dumps([_VERSION, language(), parquet, found.encoding, asdict(options)])  # notes are kept too
    key = hashlib.blake2b((found.digest + settings).encode(), digest_size=16).hexdigest()
    kept = Path(platformdirs.user_cache_dir("descent")) / "tables" / f"{key}.table"
    cached = _read_cached(path, kept)
    if cached is not None:
        return cached
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with _new_file(kept.parent) as (file, name):
            table = _written(path, file, found, options)
            name.replace(kept)
    except OSError:  # the cache is full, or not ours
        with _new_file(None) as (file, _name):
            return _written(path, file, found, options)
    _forget_oldest(kept)
    return table


def _written(path: Path, file: IO[bytes], found: Survey, options: Options) -> TableFile:
    """Parse the table into `file`."""
    parquet = format_of(path) == "parquet"
    facts = _parse_parquet(path, file, found) if parquet else _parse_text(path, file, found, options)
    _write_facts(file, facts)
    return TableFile(path, file, facts)


def _read_cached(path: Path, kept: Path) -> TableFile | None:
    try:
        file = kept.open("rb")
        os.utime(kept)
        file.seek(-8, os.SEEK_END)
        size = int.from_bytes(file.read(8), "little")
        file.seek(-8 - size, os.SEEK_END)
        content = json.loads(file.read(size))
        facts = Facts(**{name: _frozen(value) for name, value in content.items()})
    except (OSError, ValueError, TypeError):
        return None
    width = sum(_SIZES[kind] for kind in facts.kinds)
    whole = os.fstat(file.fileno()).st_size == sum(facts.blocks) * width + size + 8
    return TableFile(path, file, facts) if whole else None


def _frozen(value: Any) -> Any:
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value


def _write_facts(file: IO[bytes], facts: Facts) -> None:
    content = json.dumps(asdict(facts)).encode()
    file.write(content + len(content).to_bytes(8, "little"))
    file.flush()


@contextlib.contextmanager
def _new_file(folder: Path | None) -> Iterator[tuple[IO[bytes], Path]]:
    """Open a file for the cells. Its name is gone afterwards, unless it was renamed.

    It can be read until it is closed. folder: the one to make it in, or None for the system's temporary one.
    """
    handle, text_name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".part")
    file, name = os.fdopen(handle, "w+b"), Path(text_name)
    try:
        with naming(name):
            yield file, name
    except BaseException:
        with contextlib.suppress(OSError):  # it may have something left to write
            file.close()
        raise
    finally:
        name.unlink(missing_ok=True)


def _forget_oldest(kept: Path) -> None:
    """Remove the tables that were used longest ago, until the cache is as small as it should be."""
    with contextlib.suppress(OSError):
        files = sorted(kept.parent.glob("*.table"), key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > _CACHE_BYTES and file != kept:
                file.unlink(missing_ok=True)


# --- parsing ---


class _OtherKindError(Exception):
    """A column holds something else than its first rows showed."""

    def __init__(self, columns: dict[int, str]) -> None:
        self.columns = columns


class _Writer:
    """Writes blocks of columns, and collects their words."""

    def __init__(self, file: IO[bytes], kinds: Sequence[str]) -> None:
        self.file = file
        self.kinds = list(kinds)
        self.places: list[dict[str, int]] = [{} for _kind in kinds]
        self.blocks: list[int] = []
        self._strange: dict[int, tuple[int, str, int]] = {}  # of columns of texts: as in Facts.strays

    def write(self, frame: "pl.DataFrame") -> None:
        """Write a block. Columns of numbers are Float64, the others String."""
        for at, (kind, series) in enumerate(zip(self.kinds, frame.get_columns(), strict=True)):
            if kind == _NUMBER:
                self.file.write(_numbers(series).tobytes())
            elif kind == _WORD:
                self.file.write(self._codes(at, series).tobytes())
            else:
                self._note_strange(at, series)
        self.blocks.append(frame.height)

    def _codes(self, at: int, series: "pl.Series") -> Array:
        import polars as pl

        places = self.places[at]
        found = series.unique(maintain_order=True).drop_nulls().to_list()
        codes = [_code(word, places) for word in found]
        if len(places) > _MOST_WORDS:
            raise _OtherKindError({at: _TEXT})
        if not found:
            return np.full(len(series), -1, dtype=np.int32)
        mapped = series.replace_strict(found, codes, default=-1, return_dtype=pl.Int32)
        return mapped.fill_null(-1).to_numpy().astype(np.int32)

    def _note_strange(self, at: int, series: "pl.Series") -> None:
        import polars as pl

        with_points = series.str.replace(",", ".", literal=True)
        strange = with_points.cast(pl.Float64, strict=False).is_null() & series.is_not_null()
        count = int(strange.sum())
        if count:
            first = int(strange.arg_max() or 0)
            row, cell, before = self._strange.get(at, (sum(self.blocks) + first, text(series[first])[:40], 0))
            self._strange[at] = (row, cell, before + count)

    def facts(self, **others: Any) -> Facts:
        words = tuple(tuple(places) for places in self.places)
        strays = tuple((at, *found) for at, found in self._strange.items() if 2 * found[2] <= sum(self.blocks))
        return Facts(kinds=tuple(self.kinds), words=words, blocks=tuple(self.blocks), strays=strays, **others)


def _code(word: str, places: dict[str, int]) -> int:
    """Return the place of a word, a new one for a new word."""
    return places.setdefault(text(word), len(places))


def _numbers(series: "pl.Series") -> Array:
    return np.ascontiguousarray(series.to_numpy(), dtype=np.float64)  # NaN for a missing cell


def _parse_text(path: Path, file: IO[bytes], found: Survey, options: Options) -> Facts:
    """Parse a text file. A column is numbers if each of its cells is one or is missing, else words."""
    other: dict[int, str] = {}
    while True:  # once more for each time that a later row shows a column to be something else
        file.seek(0)
        file.truncate()
        try:
            return _parse_blocks(TextTable(path, found, options), file, options, other, found.digest)
        except _OtherKindError as wrong:
            other |= wrong.columns


def _parse_blocks(table: TextTable, file: IO[bytes], options: Options, other: dict[int, str], digest: str) -> Facts:
    parse = _Parser(table, options)
    writer: _Writer | None = None
    jumps: list[tuple[int, int]] = []
    rows = 0
    for block in table.blocks():
        if not block.rows:
            continue
        if writer is None:
            writer = _Writer(file, parse.kinds(block.content, other))
        writer.write(parse.frame(block.content, writer.kinds))
        if writer.blocks[-1] != block.rows:
            raise DataError(_("{file} can't be read as a CSV file: {error}.", file=table.path, error="Polars"))
        shifts = block.lines - np.arange(rows, rows + block.rows)
        changes = np.flatnonzero(np.diff(shifts, prepend=jumps[-1][1] if jumps else shifts[0] - 1))
        jumps += [(rows + int(i), int(shifts[i])) for i in changes]
        rows += block.rows
    if writer is None:
        raise DataError(_("{file} holds no samples, only the names of the columns.", file=table.path))
    notes = list(table.notes)
    if table.repeated:
        notes.append(_("lines that repeat the names of the columns are left out: {count}", count=table.repeated))
    return writer.facts(
        names=tuple(table.names),
        jumps=tuple(jumps),
        notes=tuple(notes),
        nameless_first=table.names[0] == "",
        digest=digest,
    )


class _Parser:
    """Takes blocks of text apart with Polars."""

    def __init__(self, table: TextTable, options: Options) -> None:
        self.names = [str(at) for at in range(table.width)]
        cases = {case for word in options.missing for case in (word, word.upper(), word.title(), word.capitalize())}
        self.how: dict[str, Any] = {
            "has_header": False,
            "new_columns": self.names,
            "separator": table.delimiter,
            "quote_char": '"' if table.quoted else None,
            "null_values": sorted(cases),
            "decimal_comma": table.decimal == ",",
        }

    def kinds(self, content: bytes, other: dict[int, str]) -> list[str]:
        """Return what the columns of the first block hold. other: what is known of some."""
        import polars as pl

        frame = self._read(content, [pl.String] * len(self.names))
        comma = self.how["decimal_comma"]
        return [other.get(at) or _kind(series, comma) for at, series in enumerate(frame.get_columns())]

    def frame(self, content: bytes, kinds: Sequence[str]) -> "pl.DataFrame":
        """Return a block. Raises _OtherKindError for the columns that are numbers no more."""
        import polars as pl

        try:
            return self._read(content, [pl.Float64 if kind == _NUMBER else pl.String for kind in kinds])
        except pl.exceptions.PolarsError:
            frame = self._read(content, [pl.String] * len(kinds))
            comma = self.how["decimal_comma"]
            wrong = {
                at: _WORD
                for at, (kind, series) in enumerate(zip(kinds, frame.get_columns(), strict=True))
                if kind == _NUMBER and _kind(series, comma) != _NUMBER
            }
            if not wrong:
                raise
            raise _OtherKindError(wrong) from None

    def _read(self, content: bytes, types: "list[Any]") -> "pl.DataFrame":
        import polars as pl

        return pl.read_csv(content, schema_overrides=types, **self.how)


def _kind(series: "pl.Series", comma: bool) -> str:
    """Return whether each word of a column is a number. A column of missing cells alone may become one."""
    import polars as pl

    if comma:
        series = series.str.replace(",", ".", literal=True)
    values = series.cast(pl.Float64, strict=False)
    return _NUMBER if values.null_count() == series.null_count() else _WORD


def _parse_parquet(path: Path, file: IO[bytes], found: Survey) -> Facts:
    import polars as pl

    try:
        lazy = pl.scan_parquet(path)
        schema = lazy.collect_schema()
        kinds, columns, left = [], [], []
        for name, kind in schema.items():
            column = pl.col(name)
            if kind.is_numeric():
                kinds.append(_NUMBER)
                columns.append(column.cast(pl.Float64))
            elif kind.is_temporal() or kind in (pl.Boolean, pl.String, pl.Categorical, pl.Enum):
                kinds.append(_WORD)
                columns.append(column.cast(pl.String))
            else:
                left.append(name)
        if not columns:
            raise DataError(_("{file} has no column of numbers or words.", file=path))
        names = tuple(text(name) for name in schema if name not in left)
        while True:
            file.seek(0)
            file.truncate()
            writer = _Writer(file, kinds)
            try:
                for start in range(0, lazy.select(pl.len()).collect().item(), _PARQUET_ROWS):
                    writer.write(lazy.slice(start, _PARQUET_ROWS).select(columns).collect())
                break
            except _OtherKindError as wrong:
                kinds = [wrong.columns.get(at, kind) for at, kind in enumerate(kinds)]
    except pl.exceptions.PolarsError as error:
        raise DataError(_("{file} can't be read: {error}.", file=path, error=str(error).splitlines()[0])) from error
    if not writer.blocks:
        raise DataError(_("{file} holds no samples, only the names of the columns.", file=path))
    notes = [_("left out: {name}, which holds neither numbers nor words", name=text(name)) for name in left]
    return writer.facts(names=names, jumps=(), notes=tuple(notes), nameless_first=False, digest=found.digest)
