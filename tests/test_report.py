"""The HTML page about runs."""

import html
import http.server
import json
import re
import shutil
import subprocess
import threading

import numpy as np
import pytest

from hamiltonians import Coulomb, HarmonicTrap, Heisenberg
from nqs.ansatze import BinaryRBM, SlaterJastrow
from nqs.files.directory import write_json
from nqs.files.reading import read
from nqs.observables import Density
from nqs.report import main
from nqs.runs import run
from nqs.space.lattice import Lattice
from nqs.space.spins import Spins
from nqs.statistics import uncertain
from nqs.views.densities import conditional, correlations, turned
from nqs.views.page_html import levels
from samplers import Metropolis, SiteMetropolis
from samplers.sites import Exchange
from tests.tiny import experiment, machine

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module", autouse=True)
def without_figures_of_runs():
    """The page draws its own figures from the numbers of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nqs.runs.result.draw_figures", lambda *arguments: None)
        yield


@pytest.fixture(scope="module")
def dot(tmp_path_factory):
    """A finished run of two electrons; tests must not change it."""
    directory = tmp_path_factory.mktemp("report") / "dot"
    spins = Spins(1, 1)
    run(
        experiment(
            ansatz=SlaterJastrow(spins, omega=1.0),
            hamiltonian=HarmonicTrap(n=2, interaction=Coulomb(), spins=spins),
            sampler=Metropolis(sweeps=2),
            observables=(Density(4.0, 2, 10),),
            directory=str(directory),
            evaluation_steps=30,
        )
    )
    return directory


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """A finished run of four spins; tests must not change it."""
    directory = tmp_path_factory.mktemp("report") / "chain"
    lattice = Lattice((4,))
    run(
        experiment(
            ansatz=BinaryRBM(),
            hamiltonian=Heisenberg(lattice),
            sampler=SiteMetropolis(Exchange(lattice)),
            observables=(),
            directory=str(directory),
            clip=None,
        )
    )
    return directory


def report(tmp_path, *directories):
    output = tmp_path / "report.html"
    main([*map(str, directories), "--output", str(output)])
    return output.read_text()


@pytest.mark.further
def test_page_holds_everything_of_a_run(dot, tmp_path):
    page = report(tmp_path, dot)
    result = json.loads((dot / "result.json").read_text())
    assert uncertain(result["energy"], result["energy_error"]) in page
    titles = re.findall(r"<strong>(.*?)\.</strong>", page)
    assert titles[:2] == ["Energy during training", "Local energies of the evaluation"]
    assert "Density map" in titles and "One particle moved in x, y, the others held" in titles  # fmt: skip # noqa: E501
    assert sum(title.startswith("The others when") for title in titles) == 5
    for text in ("interaction", "hamiltonian.spins.up", result["versions"]["jax"]):
        assert text in page
    assert len(re.findall("<figure>", page)) == len(re.findall("<img alt=", page))
    assert not re.findall(r'alt=""', page)


@pytest.mark.further
def test_pages_of_several_runs_put_differences_first(dot, chain, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(dot, other)
    config = json.loads((other / "config.json").read_text())
    config["hamiltonian"]["omega"] = 0.5
    (other / "config.json").write_text(json.dumps(config))
    page = report(tmp_path, dot, other, chain)
    first = page[: page.index("<tbody>", page.index("Results"))]
    rows = re.findall(r'<th scope="row">(.*?)</th>', first)
    assert "hamiltonian" in rows and "iterations" not in rows
    alike = report(tmp_path, dot, other)
    row = r"hamiltonian\.omega</th><td>1\.0</td><td>0\.5</td>"
    assert re.search(row, alike[: alike.index("Results")])


def test_pages_of_unfinished_and_broken_runs_name_what_is_missing(tmp_path):
    broken = tmp_path / "broken"
    run(machine(real=True, directory=str(broken)))
    (broken / "result.json").unlink()
    (broken / "observables.npz").write_bytes(b"broken")
    (broken / "projections" / "0001").mkdir(parents=True)
    (broken / "projections" / "0001" / "result.json").write_text("{")
    for path in (broken / "checkpoints").iterdir():
        path.write_bytes(b"broken" * 30)
    page = report(tmp_path, broken)
    assert "Energy during training" in page and "unfinished" in page
    damaged = "observables.npz is damaged", "0001/result.json is damaged"
    for text in ("result.json does not exist", *damaged):
        assert text in page
    assert re.search(r"No picture of psi\.</strong> .*no undamaged checkpoint", page)


def test_later_measurements_of_a_run_are_listed(chain, tmp_path):
    measured = tmp_path / "measured"
    shutil.copytree(chain, measured)
    assert "Measured later" not in report(tmp_path, measured)
    result = read(chain).result | {"energy": -1.93, "energy_error": 0.01}
    better = {"energy": -1.98, "energy_error": 0.02, "comparison": None}
    results = {
        "evaluations/0002": result | {"lanczos": better},
        "projections/0001": result | {"energy": -1.999},
    }
    del results["projections/0001"]["comparison"]  # as in older versions
    for name, content in results.items():
        (measured / name).mkdir(parents=True)
        write_json(measured / name / "result.json", content)
    assert read(measured).later == results
    page = report(tmp_path, measured)
    rows = page[page.index("Measured later") :].split("</table>")[0]
    assert re.findall(r'row">(.*?)</th><td>(.*?) J', rows) == [
        ("evaluations/0002", "energy -1.930(10)"),
        ("after a Lanczos step", "energy -1.980(20)"),
        ("projections/0001", "energy -1.999(10)"),
    ]


def test_levels_of_excited_states_are_listed():
    known = {"value": 3.5, "error": 0.0}
    first = {"energy": 3.0, "energy_error": 0.01, "comparison": None}
    second = {"energy": 3.6, "energy_error": None, "comparison": known}
    page = levels({"energy_unit": "J", "levels": [first, second]})
    rows = re.findall("<td>(.*?)</td>", page)
    assert rows == ["3.000(10) J", "", "3.6 J", "3.5"]
    assert levels({"energy_unit": "J", "levels": []}) == ""


class Silent(http.server.BaseHTTPRequestHandler):
    """Answers every request by 404."""

    def do_GET(self):  # noqa: N802
        self.send_error(404)

    def log_message(self, *arguments):
        pass


def opened(page, tmp_path):
    """What Chromium shows and logs of a page, and the resources that it requested."""
    path = tmp_path / "opened.html"
    listing = (
        "JSON.stringify(performance.getEntriesByType('resource').map(e => e.name))"
    )
    script = f"addEventListener('load', () => {{ document.title = {listing}; }})"
    path.write_text(page.replace("</body>", f"<script>{script}</script></body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    options += ["--virtual-time-budget=2000", "--dump-dom"]
    command = [CHROMIUM, *options, f"file://{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    title = re.search("<title>(.*?)</title>", done.stdout)[1]
    names = json.loads(html.unescape(title))
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, errors, [n for n in names if not n.startswith("data:")]


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_page_opens_without_requests_and_errors(dot, chain, tmp_path):
    page = report(tmp_path, dot, chain)
    assert len(page.encode()) <= 5_000_000
    policy = re.search("<meta http-equiv=.*?>", page)[0]
    assert "default-src 'none'" in policy
    shown, errors, requests = opened(page, tmp_path)
    assert (errors, requests) == ([], [])
    assert shown.count('type="range"') == 1  # the script ran to its end
    assert 'class="readout"' in shown and "<path" in shown
    # without its policy the page requests nothing either
    free = page.replace(policy, "")
    assert opened(free, tmp_path)[1:] == ([], [])
    links = re.findall(r'(?:src|href|action)="(.*?)"|url\((.*?)\)', free)
    assert {link[:5] for pair in links for link in pair if link[:1] not in "#"} == {
        "data:"
    }
    with http.server.HTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        image = f'<img src="http://127.0.0.1:{server.server_port}/other.png">'
        other = f"{image}<script>undefined.x</script></main>"
        _, errors, requests = opened(free.replace("</main>", other), tmp_path)
        server.shutdown()
    assert errors and len(requests) == 1


def test_one_particle_is_turned_onto_the_first_axis():
    walkers = RANDOM.normal(size=(50, 3, 2))
    one, others = turned(walkers[:, 0], walkers[:, 1:])
    np.testing.assert_allclose(one[:, 0], np.linalg.norm(walkers[:, 0], axis=-1))
    before = np.linalg.norm(walkers[:, 1:] - walkers[:, :1], axis=-1)
    placed = np.stack([one[:, 0], np.zeros(50)], axis=-1)[:, None]
    np.testing.assert_allclose(np.linalg.norm(others - placed, axis=-1), before)


def test_others_are_far_from_particles_that_avoid_each_other():
    first = RANDOM.normal(size=(4000, 1, 1))
    walkers = np.concatenate([first, -first], axis=1)
    pictures = list(conditional(walkers, HarmonicTrap(n=2, d=1)))
    assert len(pictures) == 5
    for picture in pictures:
        mean = np.average(picture.x, weights=picture.y[0])
        assert mean == pytest.approx(-picture.marks[0], abs=0.3)


def test_correlations_of_a_staggered_chain_alternate():
    levels = np.array([[0, 1, 0, 1], [1, 0, 1, 0]])
    found = correlations(levels, Heisenberg(Lattice((4,))))
    np.testing.assert_allclose(found.y[0], [0.25, -0.25, 0.25, -0.25])
    shifted = np.array([[0, 0], [1, 1], [0, 1]])
    covariance = np.cov(shifted.T, bias=True)[0]
    np.testing.assert_allclose(correlations(shifted, None).y[0], covariance)
