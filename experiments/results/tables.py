"""Measured rows as JSON lines, and the tables of `experiments/README.md` from them.

    python -m experiments.results.tables

A line of NAME.jsonl is one row of the table NAME: `columns`, the text of each column,
and the numbers that can be read from it: `energy` and `error` in the unit of the table,
`seed`, `commit`, `command`. The README marks its tables by comments with their names.
"""

import json
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
PAGE = FOLDER.parent / "README.md"
TABLE = re.compile(r"<!-- table (\w+) -->\n(.*?)\n<!-- end -->", re.DOTALL)
UNCERTAIN = re.compile(r"(-?\d+\.?(\d*))\((\d+)\)")


def cells(line: str) -> list[str]:
    """The cells of a row of a Markdown table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def record(columns: dict[str, str]) -> dict[str, Any]:
    """A row with the numbers that can be read from its columns."""
    found: dict[str, Any] = {}
    if match := UNCERTAIN.match(columns.get("energy", "")):
        error = float(f"{match[3]}e-{len(match[2])}")
        found |= {"energy": float(match[1]), "error": error}
    if columns.get("seed", "").isdigit():
        found["seed"] = int(columns["seed"])
    for name, text in columns.items():
        if name.startswith("command"):
            found["command"] = text.strip("`")
        elif name == "commit":
            found["commit"] = text
    return found | {"columns": columns}


def load(name: str) -> list[dict[str, Any]]:
    """The rows of a table."""
    lines = (FOLDER / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    names = [*rows[0]["columns"]]
    body = [[row["columns"][name] for name in names] for row in rows]
    lines = [names, ["---"] * len(names), *body]
    return "\n".join(_line(line) for line in lines)


def _line(line: list[str]) -> str:
    if set(line) == {"---"}:
        return "|" + "|".join(line) + "|"
    return "| " + " | ".join(line) + " |"


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
