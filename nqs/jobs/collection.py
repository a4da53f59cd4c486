"""The results of a sweep: one table as CSV and JSON, and a figure of the energies."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nqs.files.directory import read_json, replacing, write_json
from nqs.jobs.plan import Members, Plan
from nqs.runs.figures import GREY, figure

COLUMNS = (
    "n",
    "energy",
    "energy_error",
    "energy_per_particle",
    "energy_per_particle_error",
    "energy_unit",
    "variance",
    "v_score",
    "acceptance",
    "r_hat",
    "n_effective",
    "seed",
    "deviation_sigma",
    "train_seconds",
    "evaluate_seconds",
)


def collect(members: Members) -> list[dict[str, Any]]:
    """Write `results.csv`, `results.json` and `figures/energy.*` of what is done.

    Returns:
      A row for every member that is done: name, values of the options in which the
      members differ, results.
    """
    plan, directory = members.plan, members.directory
    results = {
        name: read_json(directory / name / "result.json")
        for name in plan.members
        if members.done(name)
    }
    rows = [row(plan, name, result) for name, result in results.items()]
    if not rows:
        return []
    write_json(directory / "results.json", {"runs": rows})
    text = io.StringIO()
    table = csv.DictWriter(text, [*rows[0]], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with replacing(directory / "results.csv") as file:
        file.write(text.getvalue().encode())
    draw(directory / "figures", plan, results)
    return rows


def row(plan: Plan, name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the table."""
    known = (result["references"] or [{}])[0]
    return (
        {"name": name}
        | {f"--{option}": v for option, v in plan.members[name].values.items()}
        | {column: result.get(column) for column in COLUMNS}
        | {f"reference_{key}": known.get(key) for key in ("value", "error", "kind")}
        | {"warnings": len(result["warnings"])}
    )


def axis(plan: Plan) -> str:
    """The option along which energies are drawn: numbers, and a seed only if alone."""

    def numeric(option: str) -> bool:
        try:
            return all(float(value) is not None for value in plan.over[option])
        except ValueError:
            return False

    names = sorted(plan.over, key=lambda name: (name == "seed", not numeric(name)))
    return names[0]


def draw(folder: Path, plan: Plan, results: Mapping[str, Mapping[str, Any]]) -> None:
    """Energies per particle against one option, a color for each value of the others.

    Runs that differ in their seed only have the same color; bars are references.
    """
    folder.mkdir(exist_ok=True)
    along = axis(plan)
    try:
        places = {value: float(value) for value in plan.over[along]}
    except ValueError:  # names are drawn side by side
        places = {value: float(i) for i, value in enumerate(plan.over[along])}
    curves: dict[str, list[tuple[float, float, float]]] = {}
    known = set()
    for name, result in results.items():
        found = plan.members[name].values
        others = [f"{k} {v}" for k, v in found.items() if k not in (along, "seed")]
        at, error = places[found[along]], result["energy_per_particle_error"] or 0.0
        point = (at, result["energy_per_particle"], error)
        curves.setdefault(", ".join(others) or "measured", []).append(point)
        known |= {(at, each["value"] / result["n"]) for each in result["references"]}
    unit = next(iter(results.values()))["energy_unit"]
    paths = [folder / f"energy.{suffix}" for suffix in ("png", "pdf")]
    with figure(paths, along, f"energy per particle ({unit})") as axes:
        if known:
            style = {"ls": "", "marker": "_", "ms": 14, "color": GREY}
            axes.plot(*zip(*sorted(known), strict=True), **style, label="reference")
        for label, points in curves.items():
            x, y, errors = zip(*sorted(points), strict=True)
            axes.errorbar(x, y, errors, fmt="o", ms=4, capsize=2, label=label)
        if any(value != str(place) for value, place in places.items()):
            axes.set_xticks([*places.values()], [*places])
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.legend(frameon=False, fontsize="small")
