"""Measured rows as JSON lines, and the tables of `experiments/README.md` from them.

    python -m experiments.results.tables

A line of NAME.jsonl is a row of the table NAME. `columns` are its cells, in which names
in braces stand for fields of the row; `{energy}` is the energy with its error, as in
3.00012(34). A row with an energy has all of `FIELDS`, null where nothing was recorded.
The README marks its tables by comments with their names.
"""

import json
import re
from pathlib import Path
from typing import Any

from nqs.statistics import uncertain

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "README.md"
TABLE = re.compile(r"<!-- table (\w+) -->\n(.*?)\n<!-- end -->", re.DOTALL)

FIELDS = {
    "system": str,
    "command": str,  # after `nqs run`
    "seed": int,
    "energy": float,  # in the unit of the table
    "error": float,  # one standard error
    "reference": float,  # the energy that the table compares with
    "seconds": int,  # wall time of the command
    "cpu_seconds": int,
    "hardware": str,
    "commit": str,
}


def load(name: str) -> list[dict[str, Any]]:
    """The rows of a table."""
    lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def cells(row: dict[str, Any]) -> dict[str, str]:
    """The text of each column of a row."""
    values = dict(row)
    if "energy" in row:
        values["energy"] = uncertain(row["energy"], row["error"])
    return {name: text.format_map(values) for name, text in row["columns"].items()}


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    names = [*rows[0]["columns"]]
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in rows:
        text = cells(row)
        lines.append(f"| {' | '.join(text[name] for name in names)} |")
    return "\n".join(lines)


def filled(page: str) -> str:
    """The page with every marked table written from its rows."""
    return TABLE.sub(
        lambda found: (
            f"<!-- table {found[1]} -->\n{markdown(load(found[1]))}\n<!-- end -->"
        ),
        page,
    )


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
