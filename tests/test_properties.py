"""Any value of any setting is accepted or refused with a ValueError."""

import dataclasses
import importlib
import inspect
import math
import typing

import hypothesis
import pytest
from hypothesis import strategies as st

from experiments.command_line.main import names, options_of
from experiments.command_line.notation import Part
from experiments.command_line.parts import ROOMS
from nqs.files.directory import RunError
from nqs.space.box import Box
from nqs.space.lattice import Lattice
from nqs.space.spins import Spins

NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 1e-9, 0.5, 2.0]),
)
quickly = hypothesis.settings(max_examples=30, deadline=None, derandomize=True)

# Arguments of the parts that have fields without defaults.
LATTICE, SPINS, CUBE = Lattice((4,)), Spins(1, 1), Box.shaped("cubic", 10.0, 3)
REQUIRED = {
    "a": lambda: 3,
    "base": lambda: importlib.import_module("nqs.ansatze").BinaryRBM(),
    "ansatz": lambda: importlib.import_module("nqs.ansatze").SingletBackflow(
        SPINS, CUBE
    ),
    "box": lambda: CUBE,
    "cell": lambda: CUBE.cell,
    "density": lambda: 0.1,
    "exponent": lambda: 2.0,
    "extent": lambda: 3.0,
    "factors": lambda: (),
    "hidden": lambda: 4,
    "kappa": lambda: 0.5,
    "totals": lambda: (2, 2),
    "lattice": lambda: LATTICE,
    "model": lambda: importlib.import_module("hamiltonians").ClassicalIsing(LATTICE),
    "n": lambda: 2,
    "n_hidden": lambda: 3,
    "n_sites": lambda: 4,
    "nuclei": lambda: importlib.import_module("nqs.space.nuclei").Nuclei.parse(
        "H 0 0 0"
    ),
    "r_max": lambda: 3.0,
    "rs": lambda: 1.0,
    "sampler": lambda: importlib.import_module("samplers").Metropolis(),
    "spins": lambda: SPINS,
    "strength": lambda: 1.0,
    "temperature": lambda: 2.0,
    "width": lambda: 0.5,
    "z": lambda: 1,
}
PUBLIC = {
    name: getattr(room, name)
    for room in map(importlib.import_module, ROOMS.values())
    for name in room.__all__
}
PARTS = {
    name: part
    for name, part in PUBLIC.items()
    if inspect.isclass(part) and dataclasses.is_dataclass(part)
}


def required(part):
    """Values of the fields without a default."""
    return {
        field.name: REQUIRED[field.name]()
        for field in dataclasses.fields(part)
        if field.init
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
        and field.name in REQUIRED
    }


@pytest.mark.parametrize("name", PARTS)
@quickly
@hypothesis.given(data=st.data())
def test_a_part_is_built_or_refused_for_any_number(name, data):
    part = PARTS[name]
    hints = typing.get_type_hints(part)
    fields = [
        field.name
        for field in dataclasses.fields(part)
        if field.name not in ("parent", "name") and _is_number(hints.get(field.name))
    ]
    if not fields:
        return
    field = data.draw(st.sampled_from(fields))
    value = fitting(hints[field], data.draw(NUMBERS))
    try:
        part(**required(part) | {field: value})
    except ValueError as error:
        assert str(error)


UNUSED = {("Schedule", "steps")}  # by a constant schedule


@pytest.mark.parametrize("name", PARTS)
def test_a_number_that_is_not_finite_is_refused(name):
    part = PARTS[name]
    hints = typing.get_type_hints(part)
    for field in dataclasses.fields(part):
        hint = hints.get(field.name)
        known = field.name in ("parent", "name") or (name, field.name) in UNUSED
        if known or not _is_number(hint):
            continue
        for value in (math.nan, math.inf, -math.inf):
            arguments = required(part) | {field.name: fitting(hint, value)}
            with pytest.raises(ValueError, match=f"{field.name}.* must"):
                part(**arguments)


def _is_number(hint):
    """Whether a field takes numbers, or a tuple of them."""
    options = typing.get_args(hint) or (hint,)
    return int in options or float in options


def fitting(hint, value):
    """The value, in a tuple for fields that are tuples."""
    return (value,) if typing.get_origin(hint) is tuple else value


def numeric(options):
    """Types of the numeric options of an experiment, by name."""
    hints = typing.get_type_hints(options)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(options)
        if _is_number(hints[field.name])
    }


@pytest.mark.parametrize("name", names())
@quickly
@hypothesis.given(data=st.data())
def test_an_experiment_is_built_or_refused_for_any_number(name, data):
    options = options_of(name)
    hints = numeric(options)
    field = data.draw(st.sampled_from(list(hints)))
    value = fitting(hints[field], data.draw(NUMBERS))
    try:
        dataclasses.replace(options(), **{field: value}).start()
    except (ValueError, RunError) as error:
        assert str(error)


@quickly
@hypothesis.given(text=st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text):
    try:
        Part.parse(text)
    except ValueError as error:
        assert "NAME" in str(error)
