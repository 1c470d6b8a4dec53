"""Tables of text with a header and columns between tabs, in which a quotation mark is a character like any other."""

import csv
from collections.abc import Iterable, Iterator, Sequence

from hybridkit.errors import KitError


def rows(lines: Iterable[str], columns: Sequence[str], where: str) -> Iterator[dict[str, str]]:
    """The rows of a table by the names of its columns, as far as `columns` asks for them.

    `where` names the table in messages. Raises KitError where a column is missing, and for a row with more or fewer fields
    than the header.
    """
    reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    header = next(reader, [])
    missing = [name for name in columns if name not in header]
    if missing:
        raise KitError(f"{where} has no column {missing[0]!r}; it has {', '.join(header) or 'no header'}.")
    for number, row in enumerate(reader, start=2):
        if len(row) != len(header):
            raise KitError(f"{where}, line {number}: {len(row)} fields, where the header has {len(header)}.")
        found = dict(zip(header, row, strict=True))
        yield {name: found[name] for name in columns}
