"""Commands and numbers of the documentation."""

import re
import shlex
from pathlib import Path

import pytest
import tyro

from experiments.command_line.main import options_of
from experiments.results.tables import FOLDER, load, markdown

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
RUN = re.compile(r"nqs run (\w+)(.*)")
UNCERTAIN = re.compile(r"-?\d+\.\d+\(\d+\)")
FIGURE = 80_000  # bytes


def commands():
    """Every `nqs run NAME ...` in a block of a page, without the first prompt."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                if match := RUN.match(line):
                    found.append(pytest.param(*match.groups(), id=line[:60]))
    return found


@pytest.mark.parametrize("name, options", commands())
def test_command_of_a_page_describes_an_experiment(name, options):
    arguments = shlex.split(options, comments=True)
    if "--help" in arguments:
        return
    config = options_of(name)
    parsed = tyro.cli(config, default=config(), args=arguments)
    parsed.start()  # builds the experiments, runs none


@pytest.mark.parametrize("page", sorted((DOCS / "systems").glob("*.md")), ids=str)
def test_energies_of_a_page_were_measured(page):
    measured = "".join(markdown(load(path.stem)) for path in FOLDER.glob("*.jsonl"))
    for line in page.read_text().splitlines():
        if not line.startswith("|"):
            continue
        for number in UNCERTAIN.findall(line)[:1]:
            assert number in measured, line


def test_figures_are_small_and_used():
    text = "".join(page.read_text() for page in PAGES)
    for figure in (DOCS / "figures").iterdir():
        assert figure.stat().st_size < FIGURE, figure.name
        assert f"figures/{figure.name}" in text, figure.name


def test_every_page_is_in_the_navigation():
    navigation = (DOCS.parent / "mkdocs.yml").read_text()
    for page in [*PAGES, *(DOCS / "notebooks").glob("*.py")]:
        assert str(page.relative_to(DOCS)) in navigation, page
