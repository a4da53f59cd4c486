"""Every test runs in float64, on four CPU devices, with rank promotion an error."""

import os
import tempfile

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_numpy_rank_promotion", "raise")

CARELESS = "jax_disable_most_optimizations"


def pytest_configure(config):
    """Compile most tests with few optimizations, as they compile longer than they run.

    This saves a third of the time. Slow tests, benchmarks and tests with `optimized`
    compile as a user's run does.
    """
    careless = "not slow" in config.option.markexpr
    jax.config.update(CARELESS, careless)
    os.environ[CARELESS.upper()] = str(careless)  # of subprocesses
    # the user's own cache of compiled programs stays as it is
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()


@pytest.fixture
def optimized():
    """Compile as a user's run does, in subprocesses as well."""
    before = jax.config.read(CARELESS)
    with pytest.MonkeyPatch.context() as patch:
        jax.config.update(CARELESS, False)
        patch.setenv(CARELESS.upper(), "False")
        yield
    jax.config.update(CARELESS, before)


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Share compiled programs between tests, subprocesses included."""
    folder = tmp_path_factory.mktemp("compiled")
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            jax.config.update(name, value)
            patch.setenv(name.upper(), str(value))
        compilation_cache.reset_cache()  # JAX looks for a folder only once
        jax.devices()  # four, before `nqs.configure` takes all cores
        yield
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()


@pytest.fixture
def without_figures(monkeypatch):
    """Draw no figures, which would take longer than the rest of a tiny run."""

    def draw_nothing(directory, *arguments):
        directory.mkdir(exist_ok=True)
        (directory / "energy.png").write_bytes(b"no figure" * 20)

    monkeypatch.setattr("nqs.runs.result.draw_figures", draw_nothing)


@pytest.fixture
def strict_dtypes():
    """No implicit dtype promotion, for our own real-valued code."""
    with jax.numpy_dtype_promotion("strict"):
        yield
