"""A report of runs: one HTML page that needs no network."""

import contextlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nqs.files.directory import RunError, replacing
from nqs.files.reading import Run, read
from nqs.runs.result import sentence
from nqs.statistics import uncertain
from nqs.views.page_figures import (
    Shown,
    figures_of,
    result_so_far,
    summary_rows,
    wave_figures,
)
from nqs.views.page_html import (
    command,
    flat,
    gallery,
    levels,
    listed,
    table,
    text,
    with_unit,
)

LARGEST = 4_500_000  # bytes of all figures: a page has at most 5 MB
POINTS = 600  # of the energy of a run in the chart
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
POLICY += "script-src 'unsafe-inline'"
HERE = Path(__file__).parent


def write_page(directories: Sequence[Path], output: Path | None = None) -> Path:
    """Write the report of runs, side by side if there are several.

    Raises:
      RunError: if a directory holds no run, or the file cannot be written.
    """
    runs = {}
    for directory in directories:
        found = read(directory)
        members = found.members or {"": found}
        runs |= {f"{directory}/{k}".rstrip("/"): run for k, run in members.items()}
    output = output or directories[0] / "report.html"
    try:
        with replacing(output) as file:
            file.write(page(runs).encode())
    except OSError as error:
        raise RunError(f"cannot write {output}: {error.strerror}") from None
    return output


def page(runs: Mapping[str, Run]) -> str:
    """The page about runs by their names."""
    share = LARGEST // len(runs)
    sections = [section(i, *item, share) for i, item in enumerate(runs.items())]
    first = [comparison(runs)] if len(runs) > 1 else []
    title = next(iter(runs)) if len(runs) == 1 else f"{len(runs)} runs"
    links = "".join(
        f'<li><a href="#run-{i}">{text(name)}</a></li>' for i, name in enumerate(runs)
    )
    style, script = ((HERE / f"page.{kind}").read_text() for kind in ("css", "js"))
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f'<title>Report: {text(title)}</title>\n<link rel="icon" href="data:,">',
            f"<style>{style}</style>\n</head>\n<body>",
            '<a class="skip" href="#main">Skip to content</a>',
            f"<header><h1>{text(title)}</h1>",
            f'<nav aria-label="Runs"><ul>{links}</ul></nav></header>',
            '<main id="main">',
            *first,
            chart(runs),
            *sections,
            f"</main>\n<script>{script}</script>\n</body>\n</html>\n",
        ]
    )


def section(number: int, name: str, run: Run, share: int) -> str:
    """Everything about one run, in at most `share` bytes of figures."""
    parts = [f'<section id="run-{number}"><h2>{text(name)}</h2>']
    parts.append(f'<p class="status {run.status}">{run.status}</p>')
    result = result_so_far(run)
    parts.append(listed("Missing", run.missing, "missing"))
    if run.finished and "energy" in result:
        parts.append(table("Result", ("", "value"), summary_rows(result)))
        parts.append(levels(result))
        parts.append(listed("Warnings", result["warnings"], "warnings"))
        unit = result["energy_unit"]
        rows = [(k, with_unit(v, unit)) for k, v in result["terms"].items()]
        rows += [(k, with_unit(v, "")) for k, v in result["observables"].items()]
        parts.append(table("Terms and observables", ("name", "mean"), rows))
        parts.append(measured_later(run))
    with tempfile.TemporaryDirectory() as folder:
        try:
            shown = figures_of(run, Path(folder) / "figures")
        except (RunError, KeyError, ValueError) as error:
            shown = [Shown("No figures", (), str(error))]
        waves = list(wave_figures(run, Path(folder) / "wave"))
        count = len(shown) + len(waves)
        parts.append(gallery("Figures", shown, share // count))
        parts.append(gallery("Wave function", waves, share // count))
    parts.append(settings(run, result))
    return "\n".join([*parts, "</section>"])


def measured_later(run: Run) -> str:
    """Energies of the evaluations and projections of a run."""
    rows = []
    with contextlib.suppress(RunError):  # listed among the missing files
        for name, result in run.later.items():
            result = {"comparison": None} | result  # older versions have none
            rows.append((name, sentence(result)))
            if (better := result.get("lanczos")) is not None:
                rows.append(("after a Lanczos step", sentence(result | better)))
    return table("Measured later", ("", "result"), rows) if rows else ""


def chart(runs: Mapping[str, Run]) -> str:
    """The energies of all runs during training, drawn by the script of the page."""
    curves = []
    for name, run in runs.items():
        columns, known = run.columns, result_so_far(run)["references"]
        if len(columns.get("energy", ())):
            parts = min(POINTS, len(columns["energy"]))
            step, energy = (
                [float(np.mean(p)) for p in np.array_split(columns[key], parts)]
                for key in ("step", "energy")
            )
            pairs = [
                pair for pair in zip(step, energy, strict=True) if pair[1] == pair[1]
            ]
            value = known[0]["value"] if known else None
            curves.append({"name": name, "points": pairs, "reference": value})
    if not curves:
        return ""
    label = "energy"
    if len({curve["reference"] for curve in curves} - {None}) > 1:  # several systems
        label = "energy - reference"
        for curve in curves:
            at = curve["reference"] or 0.0
            curve["points"] = [(step, value - at) for step, value in curve["points"]]
            curve["reference"] = 0.0
    units = {result_so_far(run)["energy_unit"] for run in runs.values()}
    found = {"label": label, "unit": " or ".join(sorted(units - {""}))}
    data = json.dumps(found | {"curves": curves}).replace("<", "\\u003c")
    return (
        '<section id="chart" hidden><h2>Energy against step</h2>'
        f'<script type="application/json" id="curves">{data}</script></section>'
    )


def comparison(runs: Mapping[str, Run]) -> str:
    """Runs side by side: settings that differ first, then results."""
    configs = [flat(_config(run)) for run in runs.values()]
    apart: dict[str, list[str]] = {}
    for key in dict.fromkeys(key for config in configs for key in config):
        row = [config.get(key, "") for config in configs]
        # settings of parts that differ, and copies on the command line, are left out
        inner = any(key.startswith((f"{outer}.", f"{outer}[")) for outer in apart)
        if len(set(row)) > 1 and not inner and not key.startswith("options."):
            apart[key] = row
    rows = [(key, *row) for key, row in apart.items()]
    numbers = []
    for name in ("energy", "energy_per_particle", "variance", "v_score", "r_hat"):
        row = [_number(result_so_far(run), name) for run in runs.values()]
        numbers.append((name.replace("_", " "), *row))
    known = [result_so_far(run)["references"] for run in runs.values()]
    values = [f"{found[0]['value']:.8g}" if found else "" for found in known]
    numbers.insert(1, ("reference", *values))
    head = ("", *runs)
    return "\n".join(
        [
            '<section id="comparison"><h2>Side by side</h2>',
            table("Settings that differ", head, rows or [("none", *[""] * len(runs))]),
            table("Results", head, numbers),
            "</section>",
        ]
    )


def settings(run: Run, result: Mapping[str, Any]) -> str:
    """Command, versions and all settings."""
    config = _config(run)
    repeat = text(command(config, run.directory))
    versions = [(k, str(v)) for k, v in result.get("versions", {}).items()]
    return "\n".join(
        [
            "<h3>Settings</h3>",
            f'<pre tabindex="0"><code>{repeat}</code></pre>',
            "<details><summary>All settings</summary>",
            table("Settings", ("setting", "value"), flat(config).items()),
            "</details>",
            table("Versions", ("package", "version"), versions) if versions else "",
        ]
    )


def _config(run: Run) -> dict[str, Any]:
    try:
        return run.config
    except RunError:
        return {}


def _number(result: Mapping[str, Any], name: str) -> str:
    if result.get(name) is None:
        return ""
    if f"{name}_error" not in result:
        return f"{result[name]:.5g}"
    return uncertain(result[name], result[f"{name}_error"])
