r"""A table of texts and numbers in an XLSX file: its first sheet, without formats or formulas.

ECMA-376: a zip of XML files. Cells hold numbers, truth values, or the place of a text in a list of shared ones;
characters that XML has not are written _xHHHH_, and so is what looks like that already. openpyxl 3.1 does not tell
_x005F_x0041_ from _x0041_ when it reads, so that an answer which says so would not come back; hence no library.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from papo.evaluation.exchange.foreign import printable
from papo.files import replacing

# What a damaged file raises, beside ValueError.
UNREADABLE = (zipfile.BadZipFile, zlib.error, ElementTree.ParseError, LookupError, EOFError, RuntimeError)
LONGEST = 32_767  # characters of a cell
MOST_BYTES = 2**30  # of a file inside, unpacked: a few kilobytes can unfold to anything
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LINKS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
WRITTEN = re.compile("_x([0-9A-Fa-f]{4})_")
UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
DAY_ONE = (1980, 1, 1, 0, 0, 0)  # of every file inside: the same table is the same file


def write(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    """Writes texts, numbers, truth values and None, an empty cell.

    Raises:
        OSError: the file cannot be written.
        ValueError: a text is longer than LONGEST.
    """
    places: dict[str, int] = {}
    lines = []
    for number, row in enumerate(rows, 1):
        cells = "".join(cell(value, f"{column_name(n)}{number}", places) for n, value in enumerate(row))
        lines.append(f'<row r="{number}">{cells}</row>')
    texts = "".join(f'<si><t xml:space="preserve">{encoded(text)}</t></si>' for text in places)
    files = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        + "".join(
            f'<Override PartName="/xl/{part}.xml" ContentType="{TYPES}.{kind}+xml"/>'
            for part, kind in (
                ("workbook", "sheet.main"), ("worksheets/sheet1", "worksheet"), ("sharedStrings", "sharedStrings")
            )
        )
        + "</Types>",
        "_rels/.rels": relations({"officeDocument": "xl/workbook.xml"}),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{LINKS}">'
        '<sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations(
            {"worksheet": "worksheets/sheet1.xml", "sharedStrings": "sharedStrings.xml"}
        ),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{"".join(lines)}</sheetData></worksheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{texts}</sst>',
    }  # fmt: skip
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, DAY_ONE), HEAD + text, zipfile.ZIP_DEFLATED)


def cell(value: Any, place: str, places: dict[str, int]) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
    if isinstance(value, int | float):
        return f'<c r="{place}"><v>{value!r}</v></c>'
    if len(value) > LONGEST:
        raise ValueError(f"a text of {len(value)} characters, more than a cell of XLSX holds ({LONGEST})")
    return f'<c r="{place}" t="s"><v>{places.setdefault(value, len(places))}</v></c>'


def encoded(text: str) -> str:
    text = WRITTEN.sub(lambda found: f"_x005F{found[0]}", printable(text))
    text = UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", text)
    return escape(text).replace("\r", "&#13;")  # which a reader would make a line feed of


def relations(of: dict[str, str]) -> str:
    links = "".join(
        f'<Relationship Id="rId{number}" Type="{LINKS}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(of.items(), 1)
    )
    return f'<Relationships xmlns="{PACKAGE}/relationships">{links}</Relationships>'


def column_name(number: int) -> str:
    """
    >>> [column_name(n) for n in (0, 25, 26, 702)]
    ['A', 'Z', 'AA', 'AAA']
    """
    name = ""
    while number >= 0:
        number, letter = divmod(number, 26)
        name, number = chr(ord("A") + letter) + name, number - 1
    return name


def read(path: Path) -> list[list[Any]]:
    """The rows of the first sheet, empty cells as None.

    Raises:
        ValueError: it is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = shared(archive)
            return [row_of(row, texts) for row in parsed(archive, first_sheet(archive)).iter(f"{{{MAIN}}}row")]
    except UNREADABLE as error:
        raise ValueError(f"it is no XLSX file that can be read: {error}") from error


def parsed(archive: zipfile.ZipFile, name: str) -> ElementTree.Element:
    if archive.getinfo(name).file_size > MOST_BYTES:
        raise ValueError(f"{name} unfolds to more than {MOST_BYTES} bytes")
    text = archive.read(name)
    if b"<!DOCTYPE" in text[:1000]:
        raise ValueError(f"{name} declares a document type, which a table needs none of")
    return ElementTree.fromstring(text)


def first_sheet(archive: zipfile.ZipFile) -> str:
    """Its name in the archive."""
    sheet = next(parsed(archive, "xl/workbook.xml").iter(f"{{{MAIN}}}sheet"), None)
    links = {link.get("Id"): link.get("Target") for link in parsed(archive, "xl/_rels/workbook.xml.rels")}
    target = links[sheet.get(f"{{{LINKS}}}id")] if sheet is not None else "worksheets/sheet1.xml"
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


def shared(archive: zipfile.ZipFile) -> list[str]:
    name = "xl/sharedStrings.xml"
    return [text_of(item) for item in parsed(archive, name)] if name in archive.namelist() else []


def text_of(element: ElementTree.Element) -> str:
    """A text, which may be in pieces of several formats."""
    pieces = (element.find(f"{{{MAIN}}}t"), *(run.find(f"{{{MAIN}}}t") for run in element.iter(f"{{{MAIN}}}r")))
    text = "".join(piece.text or "" for piece in pieces if piece is not None)
    return WRITTEN.sub(lambda found: chr(int(found[1], 16)), text)


def row_of(row: ElementTree.Element, texts: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    for each in row.iter(f"{{{MAIN}}}c"):
        place = re.match("[A-Z]{1,3}", each.get("r", ""))
        if place is not None:
            column = 0
            for letter in place[0]:
                column = column * 26 + ord(letter) - ord("A") + 1
            found += [None] * (column - 1 - len(found))
        found.append(value_of(each, texts))
    return found


def value_of(each: ElementTree.Element, texts: Sequence[str]) -> Any:
    kind, value, inline = each.get("t", "n"), each.find(f"{{{MAIN}}}v"), each.find(f"{{{MAIN}}}is")
    if kind == "inlineStr":
        return text_of(inline) if inline is not None else None
    if value is None or value.text is None:
        return None
    if kind == "s":
        return texts[int(value.text)]
    if kind == "b":
        return value.text == "1"
    if kind != "n":
        return value.text  # of a formula, or an error
    return int(value.text) if re.fullmatch("[-+]?[0-9]{1,15}", value.text) else float(value.text)
