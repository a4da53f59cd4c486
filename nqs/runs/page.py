"""A report of runs: one HTML page that needs no network."""

import base64
import html
import json
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nqs.runs.directory import RunError, replacing
from nqs.runs.page_figures import (
    Shown,
    figures_of,
    result_so_far,
    summary_rows,
    wave_figures,
)
from nqs.runs.reading import Run, read
from nqs.statistics import uncertain

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
        f'<li><a href="#run-{i}">{_text(name)}</a></li>' for i, name in enumerate(runs)
    )
    style, script = ((HERE / f"page.{kind}").read_text() for kind in ("css", "js"))
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            f'<title>Report: {_text(title)}</title>\n<link rel="icon" href="data:,">',
            f"<style>{style}</style>\n</head>\n<body>",
            '<a class="skip" href="#main">Skip to content</a>',
            f"<header><h1>{_text(title)}</h1>",
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
    parts = [f'<section id="run-{number}"><h2>{_text(name)}</h2>']
    parts.append(f'<p class="status {run.status}">{run.status}</p>')
    result = result_so_far(run)
    parts.append(listed("Missing", run.missing, "missing"))
    if run.finished and "energy" in result:
        parts.append(table("Result", ("", "value"), summary_rows(result)))
        parts.append(listed("Warnings", result["warnings"], "warnings"))
        unit = result["energy_unit"]
        rows = [(k, _uncertain(v, unit)) for k, v in result["terms"].items()]
        rows += [(k, _uncertain(v, "")) for k, v in result["observables"].items()]
        parts.append(table("Terms and observables", ("name", "mean"), rows))
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


def gallery(title: str, shown: Sequence[Shown], share: int) -> str:
    """Figures of at most `share` bytes each; those of a slider come last."""
    plain = "".join(_figure(each, share) for each in shown if not each.slide)
    slides = "".join(_figure(each, share) for each in shown if each.slide)
    slider = f'<div class="slides">{slides}</div>' if slides else ""
    return f'<h3>{title}</h3><div class="gallery">{plain}{slider}</div>'


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
    unit = result_so_far(next(iter(runs.values())))["energy_unit"]
    data = json.dumps({"unit": unit, "curves": curves}).replace("<", "\\u003c")
    return (
        '<section id="chart" hidden><h2>Energy against step</h2>'
        f'<script type="application/json" id="curves">{data}</script></section>'
    )


def comparison(runs: Mapping[str, Run]) -> str:
    """Runs side by side: settings that differ first, then results."""
    configs = {name: flat(_config(run)) for name, run in runs.items()}
    keys = list(dict.fromkeys(key for flats in configs.values() for key in flats))
    short = [key for key in keys if not key.startswith("options.")]
    rows = [(key, *(flats.get(key, "") for flats in configs.values())) for key in short]
    apart = [row for row in rows if len(set(row[1:])) > 1]
    numbers = []
    for name in ("energy", "energy_per_particle", "variance", "v_score", "r_hat"):
        row = [_number(result_so_far(run), name) for run in runs.values()]
        numbers.append((name.replace("_", " "), *row))
    head = ("", *runs)
    return "\n".join(
        [
            '<section id="comparison"><h2>Side by side</h2>',
            table("Settings that differ", head, apart or [("none", *[""] * len(runs))]),
            table("Results", head, numbers),
            "</section>",
        ]
    )


def settings(run: Run, result: Mapping[str, Any]) -> str:
    """Command, versions and all settings."""
    config = _config(run)
    repeat = _text(command(config, run.directory))
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


def command(config: Mapping[str, Any], directory: Path) -> str:
    """The command that repeats a run."""
    options = config.get("options") or {}
    if not options:
        return f"# made by a script; to continue it: directory={str(directory)!r}"
    words = ["nqs", "run", str(config.get("name"))]
    for key, value in options.items():
        option = key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{option}")
        elif value is not None:
            values = value if isinstance(value, list) else [value]
            words += [f"--{option}", *(shlex.quote(str(each)) for each in values)]
    return " ".join(words)


def flat(value: Any, path: str = "") -> dict[str, str]:
    """Settings by their dotted names, as texts."""
    if isinstance(value, dict) and value:
        found = {path: str(value["part"]).split(":")[-1]} if "part" in value else {}
        for key, inner in value.items():
            if key != "part":
                found |= flat(inner, f"{path}.{key}" if path else key)
        return found
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        items = enumerate(value)
        return {k: v for i, x in items for k, v in flat(x, f"{path}[{i}]").items()}
    return {path: json.dumps(value) if isinstance(value, list) else str(value)}


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names the rows."""
    titles = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{_text(first)}</th>'
        + "".join(f"<td>{_text(value)}</td>" for value in values)
        + "</tr>"
        for first, *values in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{title}"><table>'
        f"<caption>{title}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{lines}</tbody></table></div>"
    )


def listed(title: str, sentences: Sequence[str], kind: str) -> str:
    """A list of sentences, nothing without any."""
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return f'<div class="{kind}"><h3>{title}</h3><ul>{items}</ul></div>' * bool(items)


def _figure(shown: Shown, share: int) -> str:
    """The first of its files that is small enough, within the page."""
    caption = f"<strong>{_text(shown.title)}.</strong> {_text(shown.text)}"
    content, kind = "", ""
    for path in shown.files:
        content = base64.b64encode(path.read_bytes()).decode()
        kind = "svg+xml" if path.suffix == ".svg" else "png"
        if len(content) <= share:
            break
    else:
        return f"<p>{caption}{' (too large for this page)' if content else ''}</p>"
    alt = html.escape(f"{shown.title}. {shown.text}", quote=True)
    image = f'<img alt="{alt}" src="data:image/{kind};base64,{content}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _config(run: Run) -> dict[str, Any]:
    try:
        return run.config
    except RunError:
        return {}


def _number(result: Mapping[str, Any], name: str) -> str:
    if result.get(name) is None:
        return ""
    return uncertain(result[name], result.get(f"{name}_error"))


def _uncertain(pair: Sequence[Any], unit: str) -> str:
    return f"{uncertain(*pair)} {unit}".strip() if pair[0] is not None else "unknown"


def _text(value: Any) -> str:
    return html.escape(str(value))
