"""A sheet of an .xlsx workbook as columns. Only what label files have: strings and numbers, names in the first row."""

import re
import zipfile
from pathlib import PurePosixPath
from xml.etree import ElementTree

MAX_BYTES = 100 * 2**20  # unpacked; the largest part of a label file is far below
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_columns(path, sheet):
    """Read one sheet.

    Args:
        path: the .xlsx file.
        sheet: its name.

    Returns:
        {name: list of str}; empty cells are '', empty rows are left out.

    Raises:
        ValueError: no workbook, or no such sheet.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            header, *rows = _rows(archive, _sheet_part(archive, sheet), _strings(archive))
    except (zipfile.BadZipFile, ElementTree.ParseError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read as a workbook with a sheet {sheet!r}: {error}. Get it again."
        ) from error
    return {name: [row.get(letters, "") for row in rows] for letters, name in header.items()}


def _xml(archive, name):
    if archive.getinfo(name).file_size > MAX_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BYTES:,} bytes")
    text = archive.read(name)
    if b"<!DOCTYPE" in text:  # workbooks have none; entities could ask for gigabytes
        raise ValueError(f"{name} has a document type")
    return ElementTree.fromstring(text)


def _strings(archive):
    """The strings that cells name by number."""
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    return [
        "".join(text.text or "" for text in item.iter(f"{MAIN}t")) for item in _xml(archive, "xl/sharedStrings.xml")
    ]


def _sheet_part(archive, sheet):
    """The archive's file that holds a sheet."""
    links = {one.get("name"): one.get(LINK) for one in _xml(archive, "xl/workbook.xml").iter(f"{MAIN}sheet")}
    if sheet not in links:
        raise ValueError(f"its sheets are {', '.join(links)}")
    targets = {one.get("Id"): one.get("Target") for one in _xml(archive, "xl/_rels/workbook.xml.rels")}
    return str(PurePosixPath("xl") / targets[links[sheet]]).removeprefix("/")


def _rows(archive, part, strings):
    """Each row that has cells, as {column letters: text}."""
    for row in _xml(archive, part).iter(f"{MAIN}row"):
        cells = {}
        for cell in row.iter(f"{MAIN}c"):
            text = "".join(value.text or "" for name in ("v", "t") for value in cell.iter(f"{MAIN}{name}"))
            if text:
                letters = re.match(r"[A-Z]+", cell.get("r", ""))[0]
                cells[letters] = strings[int(text)] if cell.get("t") == "s" else text
        if cells:
            yield cells
