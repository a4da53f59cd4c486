"""Names and fields in the help of every experiment are those that it builds."""

import ast
import dataclasses
import re
import typing

import pytest

from experiments.command_line.main import names, options_of
from experiments.command_line.notation import Part
from tests.cases import few

REQUIRED = {"strength": 1.0, "width": 1.0, "kappa": 0.5, "exponent": 2.0}
# Other options that some of the parts require.
CONTEXTS = [
    {},
    {"statistics": "fermions", "interaction": Part("coulomb"), "d": 2},
    {"ansatz": Part("rbm")},
    {"ansatz": Part("gru")},
    {"sampler": Part("metropolis")},
    {"ansatz": Part("boltzmann")},
]


def shown(options):
    """Fields with their default, by option and name, in the help of the parts."""
    found = {}
    for option, hint in typing.get_type_hints(options, include_extras=True).items():
        helps = [getattr(m, "help", None) for m in getattr(hint, "__metadata__", ())]
        for line in "\n".join(filter(None, helps)).splitlines():
            if not line.startswith("- "):
                continue
            head = line.removeprefix("- ").partition(": ")[0]
            listed, _, fields = head.partition("(")
            call = ast.parse(f"f({fields.removesuffix(')')})", mode="eval").body
            required = {name.id: REQUIRED[name.id] for name in call.args}
            defaults = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
            for name in listed.split(","):
                found[option, name.strip()] = required, defaults
    return found


def built(name, **changes):
    """The experiment, in the first context that accepts the changes."""
    options, messages = options_of(name)(), []
    for context in CONTEXTS:
        if not all(hasattr(options, name) for name in context):
            continue
        try:
            changed = dataclasses.replace(options, **(context | changes))
            return dataclasses.replace(changed.experiment(), options={})
        except ValueError as error:
            messages.append(str(error))
    raise ValueError("\n".join(messages))


HELP = {name: shown(options_of(name)) for name in names()}


@pytest.mark.parametrize(
    "name", few(names(), "quantum_dot", "electron_gas", "ising", "molecule", "hubbard")
)
def test_every_part_in_the_help_is_built_with_the_defaults_shown(name):
    for (option, part), (required, defaults) in HELP[name].items():
        least = built(name, **{option: Part(part, tuple(required.items()))})
        for field, default in defaults.items():
            value = 1 if default is ... else default
            settings = tuple((required | {field: value}).items())
            try:
                same = built(name, **{option: Part(part, settings)})
                assert default is ... or same == least, (option, part, field)
            except ValueError as refusal:
                assert default is ...
                assert not re.search("no field|unexpected", str(refusal)), field


@pytest.mark.parametrize("name", names())
def test_every_part_that_an_experiment_builds_is_in_its_help(name):
    for option in {option for option, _ in HELP[name]}:
        with pytest.raises(ValueError) as refusal:
            built(name, **{option: Part("no_such_part")})
        known = re.findall(rf"unknown {option} .*; known are (.*)", str(refusal.value))
        assert known
        listed = {part for text in known for part in text.split(", ")} - {"none"}
        assert listed == {part for kind, part in HELP[name] if kind == option}
