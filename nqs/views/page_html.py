"""Pieces of the HTML page about runs."""

import base64
import html
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nqs.statistics import uncertain
from nqs.views.page_figures import Shown


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


def levels(result: Mapping[str, Any]) -> str:
    """The levels of excited states with their references; nothing for one state."""
    rows = []
    for number, level in enumerate(result.get("levels", ())):
        known = level["comparison"]
        value = uncertain(known["value"], known["error"]) if known else ""
        pair = level["energy"], level["energy_error"]
        rows.append((str(number), with_unit(pair, result["energy_unit"]), value))
    return table("Levels", ("level", "energy", "reference"), rows) if rows else ""


def gallery(title: str, shown: Sequence[Shown], share: int) -> str:
    """Figures of at most `share` bytes each; those of a slider come last."""
    plain = "".join(_figure(each, share) for each in shown if not each.slide)
    slides = "".join(_figure(each, share) for each in shown if each.slide)
    slider = f'<div class="slides">{slides}</div>' if slides else ""
    return f'<h3>{title}</h3><div class="gallery">{plain}{slider}</div>'


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names the rows."""
    titles = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    lines = "".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(f"<td>{text(value)}</td>" for value in values)
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
    items = "".join(f"<li>{text(sentence)}</li>" for sentence in sentences)
    return f'<div class="{kind}"><h3>{title}</h3><ul>{items}</ul></div>' * bool(items)


def _figure(shown: Shown, share: int) -> str:
    """The first of its files that is small enough, within the page."""
    caption = f"<strong>{text(shown.title)}.</strong> {text(shown.text)}"
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


def text(value: Any) -> str:
    """A value as HTML."""
    return html.escape(str(value))


def with_unit(pair: Sequence[Any], unit: str) -> str:
    """A mean with its error and unit."""
    return f"{uncertain(*pair)} {unit}".strip() if pair[0] is not None else "unknown"
