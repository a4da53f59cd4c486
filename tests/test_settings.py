"""Parts are saved as JSON and restored."""

import dataclasses
import functools
import json
import math
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import Coulomb, HarmonicTrap
from nqs.ansatze import FeedForward, GaussianBinaryRBM
from nqs.files.config import NotImportable, differences, from_json, to_json
from nqs.optimizers import FirstOrder, Schedule
from nqs.space.spins import Spins
from nqs.types import Function
from samplers import Gibbs, Langevin, Metropolis, OneParticle
from tests.tiny import ROOT, Well, experiment, gaussian, narrow


def there_and_back(value):
    return from_json(json.loads(json.dumps(to_json(value), allow_nan=False)))


@pytest.mark.parametrize(
    "part",
    [
        HarmonicTrap(3, 2, (0.5, 1.0), Coulomb(), Spins(2, 1)),
        FeedForward((8, 4), "silu", residual=True),
        FeedForward(activation=jnp.tanh, kernel_init=nn.initializers.zeros),
        GaussianBinaryRBM(n_hidden=3, root=True),
        Metropolis(move=OneParticle()),
        Langevin(),
        Gibbs(sweeps=3),
        FirstOrder("adam", 0.1, Schedule("cosine", 30), options=(("b1", 0.8),)),
        Function(gaussian, narrow),
        Well(omega=0.25),
    ],
    ids=lambda part: type(part).__name__,
)
def test_restored_part_is_equal(part):
    again = there_and_back(part)
    assert type(again) is type(part)
    assert again == part
    assert hash(again) == hash(part)


def test_lists_are_restored_as_tuples():
    plain = {"a": [1, 2.5, None, True, "text"], "b": {"c": ((1,), 2)}}
    expected = {"a": (1, 2.5, None, True, "text"), "b": {"c": ((1,), 2)}}
    assert there_and_back(plain) == expected
    assert there_and_back((np.int64(3), np.float32(0.5), np.bool_(True))) == (3, 0.5, 1)
    assert isinstance(to_json(np.int64(3)), int)


def test_infinity_and_nan_are_restored():
    infinite, minus, nan = there_and_back((math.inf, -math.inf, math.nan))
    assert (infinite, minus) == (math.inf, -math.inf)
    assert math.isnan(nan)
    assert there_and_back(np.float32("inf")) == math.inf


@dataclasses.dataclass(frozen=True)
class Confusing:
    """A part with field names that have another meaning in the JSON."""

    function: int = 1
    number: int = 2


def test_part_may_have_a_field_named_function():
    assert there_and_back(Confusing()) == Confusing()


def test_value_that_is_not_a_setting_is_refused():
    for value in (np.arange(3), {1, 2}, jnp.ones(2)):
        with pytest.raises(ValueError, match="must be a number, text, tuple, function"):
            to_json(value)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x,
        functools.partial(jnp.tanh),
        nn.initializers.normal(0.3),
        jax.jit(lambda x: x),
    ],
)
def test_function_without_an_address_is_not_importable(function):
    saved = json.loads(json.dumps(to_json({"f": function})))
    with pytest.raises(NotImportable, match="cannot be imported here"):
        from_json(saved)


def test_missing_class_is_named():
    for address in (
        "no_such_module:Thing",
        "tests.tiny:Thing",
        "tests.tiny:Well.Thing",
    ):
        with pytest.raises(NotImportable, match=address):
            from_json({"part": address})


def test_class_of_an_imported_module_has_the_address_of_the_module():
    program = """
from nqs.files.config import to_json
from tests.tiny import Well
class Mine: pass
print(to_json(Well)["function"], to_json(Mine)["function"])
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tests.tiny:Well", "__main__:Mine"]


def test_differences_name_the_field_and_both_values():
    old = {"a": 1, "b": {"c": [1, 2], "d": "x"}, "e": [1], "gone": None}
    new = {"a": 1, "b": {"c": [1, 3], "d": "y"}, "e": [1, 2], "new": 5}
    assert differences(old, new) == [
        ("b.c[1]", 2, 3),
        ("b.d", "x", "y"),
        ("e", [1], [1, 2]),
        ("new", None, 5),
    ]
    assert differences(old, old) == []


def test_differences_distinguish_integer_and_float():
    assert differences({"omega": 1}, {"omega": 1.0}) == [("omega", 1, 1.0)]
    assert differences({"flag": 1}, {"flag": True}) == [("flag", 1, True)]


def test_experiment_is_restored_from_its_configuration():
    config = json.loads(json.dumps(experiment(seed=3).config()))
    assert list(config)[0] == "options"
    assert not {"directory", "resume"} & set(config)
    fields = {name: from_json(value) for name, value in config.items()}
    assert experiment(seed=3) == type(experiment())(**fields)


def test_vmc_and_evaluation_have_the_settings_of_the_experiment():
    settings = {"chunk_size": 5, "clip": 2.0, "observables": ()}
    vmc, evaluation = experiment(**settings).vmc(), experiment(**settings).evaluation()
    assert (vmc.chunk_size, vmc.clip) == (5, 2.0)
    assert (evaluation.chunk_size, evaluation.observables) == (5, ())
    for part in ("ansatz", "hamiltonian", "sampler"):
        assert getattr(vmc, part) == getattr(evaluation, part)
    assert vmc.optimizer == FirstOrder("sgd", 0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_walkers": 2.0}, "n_walkers must be an integer >= 1, got 2.0"),
        ({"iterations": -1}, "iterations must be an integer >= 0, got -1"),
        ({"evaluation_steps": 0}, "evaluation_steps must be an integer >= 1"),
        ({"precision": "double"}, "precision must be one of .*, got 'double'"),
        (
            {"checkpoint_every": -1.0},
            "checkpoint_every must be finite and >= 0, got -1.0",
        ),
        ({"checkpoint_every": math.nan}, "checkpoint_every must be finite"),
        ({"observe_every": 0}, "observe_every must be an integer >= 1"),
        ({"seed": 2**32}, "seed must be an integer >= 0 and <= 4294967295"),
        ({"sampler": Gibbs()}, "ansatz must have a HiddenLayer, .* for Gibbs"),
    ],
)
def test_an_experiment_that_cannot_run_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        experiment(**changes)
