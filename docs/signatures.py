"""Signatures of Flax modules in the reference: their fields with types and defaults."""

import dataclasses
import pydoc
from typing import Any

from griffe import Class, Extension, Function, Parameter, ParameterKind, Parameters

OWN_OF_FLAX = ("parent", "name")


class ModuleSignatures(Extension):
    """Give the ansätze, which are dataclasses without a decorator, their signature."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Add the `__init__` that Flax makes."""
        ours = cls.path.startswith("nqs.ansatze.") and "__init__" not in cls.members
        found: Any = pydoc.locate(cls.path) if ours else None
        if not dataclasses.is_dataclass(found):
            return
        parameters = [Parameter("self", kind=ParameterKind.positional_or_keyword)]
        for field in dataclasses.fields(found):
            if field.name in OWN_OF_FLAX:
                continue
            member = cls.members.get(field.name)
            default = None
            if field.default is not dataclasses.MISSING:
                default = repr(field.default)
            parameters.append(
                Parameter(
                    field.name,
                    annotation=getattr(member, "annotation", None),
                    kind=ParameterKind.positional_or_keyword,
                    default=default,
                )
            )
        init = Function("__init__", parent=cls, parameters=Parameters(*parameters))
        cls.set_member("__init__", init)
