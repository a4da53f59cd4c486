"""Commands and numbers of the documentation."""

import re
import shlex
from pathlib import Path

import pytest
import tyro

from experiments.command_line.main import options_of
from experiments.command_line.searches import searches
from experiments.command_line.sweep import SweepOptions, plan_of
from experiments.command_line.tune import TuneOptions
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


def test_sweeps_and_searches_of_a_page_can_be_made():
    text = (DOCS / "many-runs.md").read_text().replace("\\\n", " ")
    found = re.findall(r"^nqs (sweep|tune) (quantum_dot .*)$", text, re.MULTILINE)
    assert [command for command, _ in found] == ["sweep", "sweep", "tune"]
    for command, line in found:
        name, *arguments = shlex.split(line, comments=True)
        kind = SweepOptions if command == "sweep" else TuneOptions
        given, rest = tyro.cli(
            kind, args=arguments, return_unknown_args=True, add_help=False
        )
        if isinstance(given, SweepOptions):
            plan = plan_of(name, options_of(name), rest, given.over, given.jobs())
            assert len(plan.members) in (15, 20)
        else:
            assert len(searches(options_of(name), rest, given.search)) == 2
