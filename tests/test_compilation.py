"""The persistent cache of compiled programs, and programs that run once."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from nqs.runs.compilation import SIZE, keep_programs, once
from nqs.runs.loop import run
from tests.tiny import experiment

NAMES = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_enable_compilation_cache",
)


@pytest.fixture
def no_cache(tmp_path, monkeypatch):
    """JAX without a cache, as in a new process, and a user with an empty one."""
    before = {name: getattr(jax.config, name) for name in NAMES}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr("sys.platform", "linux")
    compilation_cache.reset_cache()
    jax.devices()  # four of them: `nqs.configure` would ask for all cores
    yield tmp_path / "caches" / "nqs"
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_programs_are_kept_in_the_cache_of_the_user(no_cache):
    keep_programs()
    assert jax.config.jax_compilation_cache_dir == str(no_cache)
    assert jax.config.jax_compilation_cache_max_size == SIZE
    assert no_cache.stat().st_mode & 0o077 == 0  # others may not write programs


def test_a_folder_that_was_given_is_used(no_cache, tmp_path):
    keep_programs(str(tmp_path / "programs"))
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "programs")
    keep_programs()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "programs")


def test_none_disables_the_cache(no_cache):
    keep_programs("none")
    assert not jax.config.jax_enable_compilation_cache
    assert not no_cache.exists()


def test_a_folder_that_cannot_be_written_to_gives_a_warning(no_cache, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    keep_programs(str(tmp_path / "file" / "programs"))
    assert jax.config.jax_compilation_cache_dir is None
    assert "compiled programs are not kept for the next run" in capsys.readouterr().err


@pytest.mark.whole
def test_a_second_run_finds_its_programs_and_damaged_ones_cost_time_only(
    no_cache, tmp_path, without_figures
):
    def energy(name):
        jax.clear_caches()
        result = run(experiment(directory=str(tmp_path / name)))
        return result["energy"], {path.name for path in no_cache.glob("*-cache")}

    first, programs = energy("a")
    assert any("local_terms" in name for name in programs)
    again, found = energy("b")
    assert again == first and found == programs
    for path in no_cache.glob("*-cache"):
        path.write_bytes(path.read_bytes()[:100])
    with warnings.catch_warnings(action="ignore"):
        assert energy("c")[0] == first


def test_a_function_that_runs_once_has_the_same_value():
    x = jnp.linspace(0.0, 1.0, 5)
    expected = np.sin(np.linspace(0.0, 1.0, 5))
    np.testing.assert_allclose(once(jnp.sin, x), expected, rtol=1e-14)
