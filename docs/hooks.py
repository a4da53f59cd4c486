"""Build hooks: mathematics as MathML, and plain text in docstrings.

Pages need no script and nothing from the network: LaTeX becomes MathML while the site
is built.
"""

import html
import re
from typing import Any

from jupyter_client.manager import KernelManager
from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension

CODE = re.compile(r"(<(pre|script|style|code)\b.*?</\2>)", re.DOTALL)
DISPLAY = re.compile(r"\\\[(.+?)\\\]|\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"\\\((.+?)\\\)|\$([^$\n]+?)\$", re.DOTALL)
BAR = re.compile(r"<mo(?: stretchy=\"false\")?>(?:&#x0007C;|\|)</mo>")
MATHJAX = re.compile(r"<script data-mkdocs-jupyter-mathjax=.*?</script>\n?", re.DOTALL)


class PlainAngles(Extension):
    """Angle brackets in Markdown are text: <r^2> is an average, not an HTML tag."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Remove what Markdown does with HTML."""
        md.preprocessors.deregister("html_block")
        md.inlinePatterns.deregister("html")


def on_config(config: Any) -> None:
    """Take angle brackets as text on every page; encrypt what notebooks exchange."""
    config["markdown_extensions"].append(PlainAngles())
    KernelManager.transport_encryption.default_value = "required"  # else it warns


def on_page_content(content: str, **_: Any) -> str:
    """Convert LaTeX outside of code to MathML."""
    pieces = CODE.split(content)
    # the split gives text, code, name of the tag, text, ...
    pieces[::3] = [mathml(text) for text in pieces[::3]]
    return "".join(piece for i, piece in enumerate(pieces) if i % 3 != 2)


def mathml(text: str) -> str:
    """The text with LaTeX between its delimiters as MathML."""
    for pattern, display in ((DISPLAY, "block"), (INLINE, "inline")):
        text = pattern.sub(
            lambda found, display=display: equation(found[1] or found[2], display), text
        )
    return text


def equation(latex: str, display: str) -> str:
    """One equation, with the bars of |psi| and <x|H|x> as tight as letters."""
    found = convert(html.unescape(latex).strip(), display=display)
    return BAR.sub('<mo stretchy="false" lspace="0" rspace="0">|</mo>', found)


def on_post_page(output: str, **_: Any) -> str:
    """Remove the loader of MathJax that notebooks bring along."""
    return MATHJAX.sub("", output)
