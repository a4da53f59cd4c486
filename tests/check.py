"""Checks of the toolkit as users run it: the last part of `make check`.

Optimized programs, short experiments against exact energies, the wheel in a clean
environment, a folder that hides a package of the toolkit, the script for a GPU on the
CPU, and the documentation with its notebooks.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]

# arguments, and how far above the exact energy the result may be, relative
EXPERIMENTS = {
    "quantum_dot": (["--iterations", "150", "--n-walkers", "128"], 1e-4),
    "ising": (["--length", "10", "--iterations", "150", "--n-walkers", "256"], 1e-3),
    "harmonic_oscillator": (
        ["--n", "4", "--d", "1", "--ansatz", "deep_sets(jastrow=True)",
         "--interaction", "harmonic_pairs(kappa=0.5)", "--iterations", "300",
         "--optimizer", "spring", "--n-walkers", "128"], 1e-4),
}  # fmt: skip


def call(command: list[str], folder: Path, **variables: str) -> str:
    """Standard output of a command that must succeed, with environment variables."""
    print("$", *command, flush=True)
    settings: dict[str, Any] = dict(cwd=folder, capture_output=True, text=True)
    done = subprocess.run(command, env=os.environ | variables, **settings)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}\nstatus {done.returncode}")
    return done.stdout


# resources of a page at another address
EXTERNAL = re.compile(r"<(?:script|link|img)\b[^>]*?(?:src|href)=[\"']?(?:https?:)?//")


def check_energies(folder: Path) -> None:
    """Run the experiments; each energy is within its bounds."""
    for name, (arguments, tolerance) in EXPERIMENTS.items():
        directory = folder / name
        shared = ["--evaluation-steps", "300", "--directory", str(directory)]
        call([sys.executable, "-m", f"experiments.{name}", *arguments, *shared], ROOT)
        result = json.loads((directory / "result.json").read_text())
        found, error = result["comparison"], result["energy_error"]
        assert found["kind"] == "exact" and error is not None, result["warnings"]
        excess = found["difference"]
        print(f"{name}: {result['energy']:.6f}, {excess:+.1e} from exact", flush=True)
        assert -4 * error < excess < 4 * error + tolerance * abs(found["value"])


def check_wheel(folder: Path) -> None:
    """Install the wheel and run it; a folder that hides a package raises an error."""
    call([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder),
          str(ROOT)], folder)  # fmt: skip
    (wheel,) = folder.glob("nqs-*.whl")
    venv.create(folder / "env", with_pip=True)
    python = str(folder / "env" / "bin" / "python")
    call([python, "-m", "pip", "install", "-q", str(wheel)], folder)
    command = str(folder / "env" / "bin" / "nqs")
    few = ["--iterations", "2", "--burn-in", "2", "--n-walkers", "16",
           "--evaluation-steps", "4", "--ansatz", "slater_jastrow"]  # fmt: skip
    assert "energy " in call([command, "run", "quantum_dot", *few], folder)
    assert "Backflow" in call([command, "parts"], folder)
    (folder / "samplers").mkdir()
    (folder / "samplers" / "__init__.py").write_text("")
    script = "from hamiltonians import HarmonicTrap"
    done = subprocess.run([python, "-c", script], cwd=folder, capture_output=True,
                          text=True)  # fmt: skip
    assert "hides the package samplers of nqs" in done.stderr, done.stderr


def check_gpu_script(folder: Path) -> None:
    """The script for a GPU: small sizes here, and a sentence where there is none."""
    script = [sys.executable, "-m", "tests.benchmarks.gpu"]
    printed = call([*script, "cpu"], ROOT, OUT=str(folder))
    lines = [json.loads(line) for line in printed.splitlines() if line[:1] == "{"]
    checks = [line["check"] for line in lines]
    assert checks == ["agreement", "step", "step", "training", "everything"], checks
    assert lines[0]["holds"] and lines[-2]["energy_per_electron"] < -0.6, lines
    printed = call([*script, "gpu"], ROOT, OUT=str(folder), JAX_PLATFORMS="cpu")
    assert "no gpu in this machine" in printed


def check_docs(folder: Path) -> None:
    """Build the documentation; no warnings, no resources at other addresses."""
    site = folder / "site"
    call([sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet",
          "--site-dir", str(site)], ROOT,
         NO_MKDOCS_2_WARNING="1")  # hides an advertisement  # fmt: skip
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20, pages
    for page in pages:
        text = page.read_text()
        assert not EXTERNAL.search(text), f"{page.name} loads {EXTERNAL.search(text)}"
        assert "cdn." not in text and "Traceback (most recent" not in text, page.name


if __name__ == "__main__":
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        checks = check_docs, check_energies, check_wheel, check_gpu_script
        with ThreadPoolExecutor(2) as pool:  # most of them use one core
            for done in [pool.submit(check, Path(temporary)) for check in checks]:
                done.result()
    print(f"all checks passed in {time.monotonic() - started:.0f} s")
