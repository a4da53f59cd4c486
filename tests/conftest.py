"""Every test runs in float64, on four CPU devices, with rank promotion an error."""

import os
import tempfile
import time

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_numpy_rank_promotion", "raise")

CARELESS = "jax_disable_most_optimizations"
KEPT = 14 * 24 * 3600  # seconds
CACHE = "jax_compilation_cache_dir"
OF_CACHE = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": 0,
}


def pytest_configure(config):
    """Compile most tests with few optimizations, as they compile longer than they run.

    This saves a third of the time. Sessions whose expression of marks contains
    `not whole` do so: those of `make test` and of the further cases in `make check`.
    All others, and tests with `optimized`, compile as a user's run does.
    """
    careless = "not whole" in config.option.markexpr
    jax.config.update(CARELESS, careless)
    os.environ[CARELESS.upper()] = str(careless)  # of subprocesses
    # the user's own cache of compiled programs stays as it is
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
    keep_programs(config)


def keep_programs(config):
    """Keep compiled programs for other workers and for the next session.

    Two thirds of the first session are compilation. Programs are found by their text
    and by the versions and settings of the compiler; `--cache-clear` deletes them.
    Subprocesses, which tests kill while they write, have a folder of this session.
    """
    kept = config.cache.mkdir("programs") if hasattr(config, "cache") else None
    if not hasattr(config, "workerinput"):  # workers have the environment of this one
        config.programs = tempfile.TemporaryDirectory()
        for name, value in (OF_CACHE | {CACHE: config.programs.name}).items():
            os.environ[name.upper()] = str(value)
        for path in kept.iterdir() if kept else ():
            if path.stat().st_mtime < time.time() - KEPT:
                path.unlink()
    folder = str(kept or os.environ[CACHE.upper()])
    for name, value in (OF_CACHE | {CACHE: folder}).items():
        jax.config.update(name, value)
    # a program that another worker writes at this moment is compiled once more
    ignored = "ignore:Error reading persistent compilation cache entry"
    config.addinivalue_line("filterwarnings", ignored)


@pytest.hookimpl(tryfirst=True)  # before tests are selected by their marks
def pytest_collection_modifyitems(items):
    """`make check` runs the tests of optimized programs."""
    for item in items:
        if "optimized" in getattr(item, "fixturenames", ()):
            item.add_marker("whole")


@pytest.fixture
def optimized():
    """Compile as a user's run does, in subprocesses as well."""
    before = jax.config.read(CARELESS)
    with pytest.MonkeyPatch.context() as patch:
        jax.config.update(CARELESS, False)
        patch.setenv(CARELESS.upper(), "False")
        yield
    jax.config.update(CARELESS, before)


@pytest.fixture(scope="session", autouse=True)
def four_devices():
    """Four devices, before `nqs.configure` takes all cores."""
    jax.devices()


@pytest.fixture(scope="session", autouse=True)
def without_fsync():
    """Files of tests need not survive a loss of power; `os.fsync` takes 35 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture
def without_figures(monkeypatch):
    """Draw no figures, which would take longer than the rest of a tiny run."""

    def draw_nothing(directory, *arguments):
        directory.mkdir(exist_ok=True)
        (directory / "energy.png").write_bytes(b"no figure" * 20)

    monkeypatch.setattr("nqs.runs.result.draw_figures", draw_nothing)


BUILT = {}  # programs by what they depend on, for all modules with `built_once`


@pytest.fixture(scope="module")
def built_once():
    """Build the programs of runs with equal parts once, as tracing takes longest."""
    from nqs.runs import start

    build = start.build

    def remembered(experiment, mesh, key, state):
        leaves, tree = jax.tree.flatten((key, state))
        arrays = tuple((leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves)
        parts = experiment.vmc(), experiment.evaluation(), experiment.n_walkers
        steps = experiment.iterations, experiment.burn_in > 0
        now = type(experiment.hamiltonian).terms, jax.config.read(CARELESS)  # patched
        case = parts, steps, mesh, tree, arrays, now
        if case not in BUILT:
            BUILT[case] = build(experiment, mesh, key, state)
        return BUILT[case]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "build", remembered)
        yield


@pytest.fixture
def strict_dtypes():
    """No implicit dtype promotion, for our own real-valued code."""
    with jax.numpy_dtype_promotion("strict"):
        yield
