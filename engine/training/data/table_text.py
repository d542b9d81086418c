"""Delimited text as it is downloaded: its compression, encoding, separators and quotes, as blocks of clean rows."""

import bz2
import codecs
import csv
import gzip
import hashlib
import io
import lzma
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal, cast

import numpy as np

from descent.common.errors import DataError
from descent.common.files import open_regular
from descent.common.i18n import _, ngettext
from descent.common.text import clean, why_unreadable
from engine.training.data.table_columns import MISSING, number, text

CHUNK = 4 << 20  # bytes that are read and parsed at a time
_SAMPLE_LINES = 50
_NUMBER = re.compile(r"[-+]?\d+,\d+")
_DELIMITERS = ("\t", ";", "|", ",")
_MAGIC = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\0", lzma.open))


@dataclass(frozen=True)
class Options:
    """What the preset says about the text of a file. delimiter, decimal, encoding: "auto" where the file tells."""

    header: bool = True
    delimiter: str = "auto"
    decimal: str = "auto"
    encoding: str = "auto"
    skip_lines: int = 0
    missing: tuple[str, ...] = MISSING


@dataclass
class Survey:
    """What one pass over a file's bytes tells. digest: of its bytes, unpacked, in hexadecimal."""

    digest: str
    encoding: str
    quoted: bool
    notes: list[str] = field(default_factory=list)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, unpacked. Raises DataError if it can't be read."""
    try:
        with open_regular(path) as file:
            start = file.read(8)
            file.seek(0)
            for magic, unpack in _MAGIC:
                if start.startswith(magic):
                    with cast(BinaryIO, unpack(file, "rb")) as unpacked:
                        yield unpacked
                    return
            if start.startswith(b"PK\x03\x04"):
                with zipfile.ZipFile(file) as archive, archive.open(_only_table(archive, path)) as inner:
                    yield cast(BinaryIO, inner)
                return
            if start == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
                raise DataError(_workbook(path))
            if start.startswith((b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"7z\xbc\xaf\x27\x1c")):
                raise DataError(_("{file} is packed in a way that can't be read here: unpack it first.", file=path))
            yield cast(BinaryIO, file)
    except (OSError, EOFError, zipfile.BadZipFile, lzma.LZMAError, RuntimeError) as error:
        reason = clean(why_unreadable(error)) or type(error).__name__
        raise DataError(_("{file} can't be read: {error}.", file=path, error=reason)) from error


def _workbook(path: Path) -> str:
    return _("{file} is a workbook: save the sheet as a .csv file first.", file=path)


def _only_table(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """Return the one text table of a zip."""
    names = [info.filename for info in archive.infolist()]
    if "[Content_Types].xml" in names:
        raise DataError(_workbook(path))
    if names and all(name.endswith(".npy") for name in names):
        raise DataError(_('{file} is a NumPy archive, not a table: set data.name = "npz" in a preset.', file=path))
    files = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    tables = [info for info in files if Path(info.filename).suffix.lower() in (".csv", ".tsv", ".txt", ".data")]
    found = tables or files
    if len(found) != 1:
        shown = ", ".join(repr(clean(info.filename)) for info in found[:12]) or "–"
        raise DataError(
            _(
                "{file} holds {count} files, {names}: unpack it, and name one of them in data.path.",
                file=path,
                count=len(found),
                names=shown,
            )
        )
    return found[0]


def survey(path: Path, wanted: str) -> Survey:
    """Read a file once, to know its digest, its encoding and whether it has quotes. wanted: `data.encoding`."""
    digest, quoted = hashlib.blake2b(digest_size=16), False
    utf8: codecs.IncrementalDecoder | None = None
    bad: int | None = None  # the first byte that is not UTF-8, counted from 0
    at = 0
    encoding = wanted
    with opened(path) as file:
        while chunk := file.read(CHUNK):
            if at == 0:
                encoding = _marked(chunk) or wanted
                if encoding in ("auto", "utf-8"):
                    utf8 = codecs.getincrementaldecoder("utf-8")()
            digest.update(chunk)
            quoted = quoted or b'"' in chunk
            if utf8 is not None and bad is None:
                bad = _first_bad(utf8, chunk, at)
            at += len(chunk)
    if at == 0:
        raise DataError(_("{file} is empty.", file=path))
    if utf8 is not None and bad is None:
        bad = _first_bad(utf8, b"", at, final=True)
    if utf8 is None or bad is None:
        return Survey(digest.hexdigest(), encoding if utf8 is None else "utf-8", quoted)
    line, byte = _place(path, bad)
    if encoding != "auto":
        raise DataError(
            _(
                "{file} is not text in {encoding} (data.encoding): {reason}.",
                file=path,
                encoding=encoding,
                reason=_("byte {byte:#x} in line {line}", byte=byte, line=line),
            )
        )
    encoding = _guess(path)
    note = _(
        "not UTF-8 (line {line}: byte {byte:#x}), so read as {encoding}; data.encoding sets another",
        line=line,
        byte=byte,
        encoding=encoding,
    )
    return Survey(digest.hexdigest(), encoding, quoted, [note])


def _first_bad(utf8: codecs.IncrementalDecoder, chunk: bytes, at: int, *, final: bool = False) -> int | None:
    """Return the place in the file of the first byte that is not UTF-8, or None. at: the place of the chunk."""
    waiting = len(utf8.getstate()[0])  # bytes of a letter that the chunk before has begun
    if not waiting and chunk.isascii():
        return None
    try:
        utf8.decode(chunk, final)
    except UnicodeDecodeError as error:
        return at - waiting + error.start
    return None


def _place(path: Path, offset: int) -> tuple[int, int]:
    """Return the line, counted from 1, of a byte of a file, and the byte."""
    lines, at = 1, 0
    with opened(path) as file:
        while chunk := file.read(CHUNK):
            if at + len(chunk) > offset:
                return lines + chunk.count(b"\n", 0, offset - at), chunk[offset - at]
            lines += chunk.count(b"\n")
            at += len(chunk)
    raise DataError(_("{file} has changed while it was read: start again.", file=path))


def _marked(start: bytes) -> str | None:
    """Return the encoding that a byte order mark names, or that the zeros of UTF-16 show."""
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8"
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    even, odd = start[:2000:2], start[1:2000:2]
    if odd and odd.count(0) > len(odd) // 2 and not even.count(0):
        return "utf-16-le"
    if even and even.count(0) > len(even) // 2 and not odd.count(0):
        return "utf-16-be"
    return None


def _guess(path: Path) -> str:
    """Return the encoding of a text that is not UTF-8: Korean if its letters are, else one of western Europe."""
    with opened(path) as file:
        start = file.read(CHUNK)
    if b"\0" in start:
        raise DataError(_("{file} is no text: it holds zero bytes.", file=path))
    start = start[: start.rfind(b"\n") + 1] or start
    for name in ("cp949", "cp1252"):
        try:
            words = start.decode(name)
        except UnicodeDecodeError:
            continue
        letters = [c for c in words if not c.isascii()]
        if name == "cp1252" or sum("가" <= c <= "힣" for c in letters) > len(letters) / 2:
            return "latin-1" if name == "cp1252" and not re.search("[€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]", words) else name
    return "latin-1"


@dataclass
class Block:
    """Clean rows as text in UTF-8: every row has every column, and a line of its own.

    rows: how many there are. lines: the line of the file on which each row ends, (rows,).
    """

    content: bytes
    lines: np.ndarray[tuple[int, ...], np.dtype[np.int64]]

    @property
    def rows(self) -> int:
        return len(self.lines)


class TextTable:
    """A table in a text file. names: of its columns. delimiter, decimal: as found. notes: for the user."""

    def __init__(self, path: Path, found: Survey, options: Options) -> None:
        self.path = path
        self.encoding = found.encoding
        self.quoted = found.quoted
        self.notes = list(found.notes)
        self.repeated = 0  # header lines among the rows
        self._options = options
        self._sniff()

    def _sniff(self) -> None:
        """Find the separators and the names of the columns in the first lines."""
        sample = list(islice(self._lines(), self._options.skip_lines, self._options.skip_lines + _SAMPLE_LINES))
        filled = [line for line in sample if line.strip()]
        if not filled:
            raise DataError(_("{file} is empty.", file=self.path))
        self._before = self._options.skip_lines + next(i for i, line in enumerate(sample) if line.strip())
        bare = [re.sub(r'"[^"]*"', '""', line) for line in filled]
        given = self._options.delimiter
        self.delimiter = _delimiter(bare) if given == "auto" else given
        cells = [part.strip() for line in bare for part in line.split(self.delimiter)]
        self.decimal = self._options.decimal
        if self.decimal == "auto":
            commas = self.delimiter != "," and any(_NUMBER.fullmatch(cell) for cell in cells)
            points = any(re.fullmatch(r"[-+]?\d+\.\d+", cell) for cell in cells)
            self.decimal = "," if commas and not points else "."
        rows = self._records(self._lines(self._before))
        first = next(rows, ([], 0))[0]
        self.names = self._named(first, [row for row, _line in islice(rows, _SAMPLE_LINES)])
        self.width = len(self.names)

    def _named(self, first: list[str], following: list[list[str]]) -> list[str]:
        """Return a name for each column. following: the next rows."""
        if not self._options.header:
            return [str(i + 1) for i in range(len(first))]
        names = [text(name) for name in first]
        if all(number(name, self.decimal) is not None for name in names):
            raise DataError(
                _(
                    "{file}: the first line must name the columns, but it holds numbers. If the file has no names, "
                    'set data.header = false; the columns are then called "1", "2" and so on.',
                    file=self.path,
                )
            )
        self._refuse_row(first, following)
        if len(following) > 1 and {len(row) for row in following} == {len(names) + 1}:
            names = ["", *names]  # R leaves the name of its row names out
        seen: dict[str, int] = {}
        for i, name in enumerate(names):
            count = seen[name] = seen.get(name, 0) + 1
            if count > 1 and name:
                names[i] = f"{name} ({count})"
                self.notes.append(
                    _("two columns are called {name!r}: the later is {new!r} here", name=name, new=names[i])
                )
            elif not name and i > 0:
                names[i] = f"column {i + 1}"
        return names

    def _refuse_row(self, first: list[str], following: list[list[str]]) -> None:
        """Raise DataError if the first line looks like the rows below it, so that it names nothing.

        It does if most of its cells stand again in their columns, or all of those that are no numbers.
        """
        below = [set(cells) for cells in zip(*(row for row in following if row != first), strict=False)]
        again = [cell for cell, cells in zip(first, below, strict=False) if cell.strip() and cell in cells]
        numbers = sum(cell not in again and number(cell.strip(), self.decimal) is not None for cell in first)
        if not again or not (2 * len(again) > len(first) > 1 or len(again) + numbers == len(first)):
            return
        raise DataError(
            _(
                "{file}: the first line must name the columns, but it looks like the rows below it: {cell!r} stands "
                "again in its column. If the file has no names, set data.header = false; the columns are then "
                'called "1", "2" and so on.',
                file=self.path,
                cell=text(again[-1])[:40],
            )
        )

    # --- rows ---

    def blocks(self) -> Iterator[Block]:
        """Yield the rows after the header. Raises DataError for a row of another length and for a stray quote."""
        self.repeated = 0
        yield from self._quoted_blocks() if self.quoted else self._plain_blocks()

    def _plain_blocks(self) -> Iterator[Block]:
        """Yield rows of text without quotes, which need not be taken apart to be counted."""
        line = 0
        header: bytes | None = None
        for chunk in self._chunks():
            begin = 0
            while line < self._before + bool(self._options.header) and begin < len(chunk):
                end = chunk.index(b"\n", begin) + 1
                header = chunk[begin:end].strip()
                begin = end
                line += 1
            if begin < len(chunk):
                yield self._plain_block(chunk[begin:], line, header if self._options.header else None)
                line += chunk.count(b"\n", begin)

    def _plain_block(self, chunk: bytes, before: int, header: bytes | None) -> Block:
        """before: the lines of the file before the chunk, which ends with a line's end."""
        if self.delimiter == " ":
            chunk = re.sub(rb"[ \t]+", b" ", re.sub(rb"(?m)^[ \t]+|[ \t]+$", b"", chunk))
        separator = self.delimiter.encode()
        edges = (b" " + separator, separator + b" ", b" \n", b"\n ")
        if self.delimiter != " " and b" " in chunk and (chunk[0] == 32 or any(edge in chunk for edge in edges)):
            chunk = re.sub(rb" *(" + re.escape(separator) + rb"|\n) *", rb"\1", chunk).lstrip(b" ")
        codes = np.frombuffer(chunk, dtype=np.uint8)
        ends = np.flatnonzero(codes == 10)
        cells = np.diff(np.searchsorted(np.flatnonzero(codes == separator[0]), ends), prepend=0) + 1
        starts = np.concatenate([[0], ends[:-1] + 1])
        lines = before + 1 + np.arange(len(ends))
        odd = np.flatnonzero((cells != self.width) | (ends == starts))
        if header and header in chunk:
            same = np.flatnonzero(ends - starts == len(header))
            again = [i for i in same if chunk[starts[i] : ends[i]] == header]
            self.repeated += len(again)
            odd = np.union1d(odd, np.array(again, dtype=np.int64))
        if not len(odd):
            return Block(chunk, lines)
        keep = np.ones(len(ends), dtype=bool)
        for i in odd:
            row = chunk[starts[i] : ends[i]]
            if row.strip() and row != header:
                raise self._ragged(int(lines[i]), int(cells[i]))
            keep[i] = False
        whole = np.repeat(keep, np.diff(ends, prepend=-1))
        return Block(codes[whole].tobytes(), lines[keep])

    def _quoted_blocks(self) -> Iterator[Block]:
        rows: list[list[str]] = []
        lines: list[int] = []
        for row, line in self.rows():
            rows.append(row)
            lines.append(line)
            if len(rows) == 50_000:
                yield self._block(rows, lines)
                rows, lines = [], []
        if rows:
            yield self._block(rows, lines)

    def rows(self) -> Iterator[tuple[list[str], int]]:
        """Yield the cells of each row after the header, and the line on which it ends. Raises as `blocks` does."""
        header: list[str] | None = None
        for row, line in self._records(self._lines(self._before)):
            if self._options.header and header is None:
                header = row
            elif row == header:
                self.repeated += 1
            elif len(row) != self.width:
                raise self._ragged(self._before + line, len(row))
            else:
                yield row, self._before + line

    def _block(self, rows: list[list[str]], lines: list[int]) -> Block:
        out = io.StringIO()
        # A cell of blanks is as empty as one of nothing.
        csv.writer(out, delimiter=self.delimiter, lineterminator="\n").writerows(
            [cell.strip().replace("\n", " ").replace("\r", " ") for cell in row] for row in rows
        )
        return Block(out.getvalue().encode(), np.array(lines, dtype=np.int64))

    def _records(self, lines: Iterator[str]) -> Iterator[tuple[list[str], int]]:
        """Yield the cells of each row, and the line on which it ends, counted from the first of `lines`."""
        if self.delimiter == " ":
            lines = (re.sub(r"[ \t]+", " ", line.strip()) + "\n" for line in lines)
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=True)
        csv.field_size_limit(1 << 24)
        begins = 1
        try:
            for row in reader:
                if len(row) > 2 and reader.line_num > begins:
                    self._check_cells(row, self._before + begins)
                if any(cell.strip() for cell in row) or len(row) > 1:
                    yield row, reader.line_num
                begins = reader.line_num + 1
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise self._stray(self._before + begins) from None
            raise DataError(
                _(
                    "{file}, line {line}: can't be read as a row of a CSV file: {error}. A quote inside of a quoted "
                    "cell is written twice.",
                    file=self.path,
                    line=self._before + begins,
                    error=clean(str(error)),
                )
            ) from error

    def _check_cells(self, row: list[str], line: int) -> None:
        """Raise DataError if a quoted cell holds whole rows: a stray quote has swallowed them."""
        for cell in row:
            inner = cell.split("\n")[1:-1] or cell.split("\n")[1:]
            if inner and all(part.count(self.delimiter) >= len(row) - 1 for part in inner if part.strip()):
                raise self._stray(line)

    def _stray(self, line: int) -> DataError:
        return DataError(
            _(
                "{file}, line {line}: a quote begins a cell there and swallows the lines after it. Remove the quote, "
                "or close the cell with another.",
                file=self.path,
                line=line,
            )
        )

    def _ragged(self, line: int, values: int) -> DataError:
        return DataError(
            ngettext(
                "{file}, line {line}: {count} value, but {columns} columns. Mend the line; if the columns are not "
                "separated by {delimiter!r}, set data.delimiter; if the table begins further down, set "
                "data.skip_lines.",
                "{file}, line {line}: {count} values, but {columns} columns. Mend the line; if the columns are not "
                "separated by {delimiter!r}, set data.delimiter; if the table begins further down, set "
                "data.skip_lines.",
                values,
                file=self.path,
                line=line,
                columns=self.width,
                delimiter=self.delimiter,
            )
        )

    # --- text ---

    def _chunks(self) -> Iterator[bytes]:
        """Yield the text in UTF-8, without a byte order mark, in whole lines that each end with a newline."""
        rest = b""
        decoder = codecs.getincrementaldecoder(self.encoding)()
        is_first = True
        with opened(self.path) as file:
            while chunk := file.read(CHUNK):
                if self.encoding != "utf-8":
                    chunk = self._decoded(decoder, chunk).encode()
                if is_first:
                    chunk = chunk.removeprefix(codecs.BOM_UTF8)
                    is_first = False
                chunk = rest + chunk
                # A lone carriage return at the end may be half of a line's end.
                if b"\r" in chunk:
                    tail = b"\r" if chunk.endswith(b"\r") else b""
                    chunk = chunk.removesuffix(tail).replace(b"\r\n", b"\n").replace(b"\r", b"\n") + tail
                cut = chunk.rfind(b"\n") + 1
                rest = chunk[cut:]
                if cut:
                    yield chunk[:cut]
        rest = rest.replace(b"\r", b"\n")
        if rest:
            yield rest if rest.endswith(b"\n") else rest + b"\n"

    def _lines(self, skip: int = 0) -> Iterator[str]:
        lines = (line for chunk in self._chunks() for line in io.StringIO(chunk.decode(), newline="\n"))
        return islice(lines, skip, None)

    def _decoded(self, decoder: codecs.IncrementalDecoder, chunk: bytes) -> str:
        try:
            return decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise DataError(
                _(
                    "{file} is not text in {encoding} (data.encoding): {reason}.",
                    file=self.path,
                    encoding=self.encoding,
                    reason=error.reason,
                )
            ) from error


def read_rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Return the header of a table, its rows as texts, and the line on which each row ends. Raises DataError."""
    table = TextTable(path, survey(path, "auto"), Options())
    found = list(table.rows())
    if not found:
        raise DataError(_("{file} holds no samples, only the names of the columns.", file=path))
    return table.names, [row for row, _line in found], [line for _row, line in found]


def _delimiter(lines: list[str]) -> str:
    """Return what separates the columns: what every line has as often, or what the first has most often."""
    for candidate in _DELIMITERS:
        counts = {line.count(candidate) for line in lines}
        if len(counts) == 1 and 0 not in counts:
            return candidate
    most = max(_DELIMITERS, key=lines[0].count)
    if lines[0].count(most):
        return most
    first, *others = (len(line.split()) for line in lines)
    widths = {*others} or {first}
    # R leaves the name of its row names out.
    return " " if first > 1 and widths in ({first}, {first + 1}) else ","


Format = Literal["text", "parquet"]


def format_of(path: Path) -> Format:
    """Return whether a file is a parquet file or text. Raises DataError if it can't be read."""
    with opened(path) as file:
        return "parquet" if file.read(4) == b"PAR1" else "text"
