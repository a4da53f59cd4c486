"""Nuclei at fixed positions, and the hydrogen-like shells about them."""

import dataclasses
import itertools
import math
from functools import cached_property
from typing import Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import finite, settle, whole

ELEMENTS = ("H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne",
            "Na", "Mg", "Al", "Si", "P", "S", "Cl", "Ar")  # fmt: skip
SHELLS = (2, 8, 8)  # electrons that fill them


@dataclasses.dataclass(frozen=True)
class Nuclei:
    """Point charges at rest in three dimensions.

    Attributes:
      charges: Z_I of each nucleus, elementary charges.
      positions: R_I of each nucleus, bohr.

    Raises:
      ValueError: unless charges are integers from 1 to 18, with as many positions of
        three finite numbers, all different.
    """

    charges: tuple[int, ...]
    positions: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        if not self.charges or len(self.charges) != len(self.positions):
            raise ValueError(
                "charges and positions must be as many, one or more, got "
                f"{self.charges!r} and {self.positions!r}"
            )
        for position in self.positions:
            if len(position) != 3:
                raise ValueError(
                    f"positions must have three coordinates each, got {position!r}"
                )
        settle(
            self,
            charges=tuple(
                whole("charges", z, most=len(ELEMENTS)) for z in self.charges
            ),
            positions=tuple(
                tuple(float(finite("positions", a)) for a in p) for p in self.positions
            ),
        )
        if len(set(self.positions)) < len(self.positions):
            raise ValueError(f"positions must be different, got {self.positions!r}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ELEMENT X Y Z; ...`, bohr, such as "Li 0 0 0; H 0 0 3.015".

        Raises:
          ValueError: for an unknown element, or other than three coordinates.
        """
        charges, positions = [], []
        for atom in text.strip().rstrip(";").split(";"):
            element, *coordinates = atom.split() or [""]
            if element not in ELEMENTS:
                raise ValueError(
                    f"atoms must be elements from H to Ar, got {element!r} in {text!r}"
                )
            try:
                position = tuple(float(number) for number in coordinates)
            except ValueError:
                position = ()
            if len(position) != 3:
                raise ValueError(
                    "atoms must be written 'ELEMENT X Y Z; ...' with positions in "
                    f"bohr, got {atom.strip()!r}"
                )
            charges.append(ELEMENTS.index(element) + 1)
            positions.append(position)
        return cls(tuple(charges), tuple(positions))

    @property
    def repulsion(self) -> float:
        """sum_{I<J} Z_I Z_J / |R_I - R_J|, hartree."""
        pairs = itertools.combinations(
            zip(self.charges, self.positions, strict=True), 2
        )
        return sum(z * y / math.dist(r, s) for (z, r), (y, s) in pairs)

    @cached_property
    def exponents(self) -> tuple[tuple[float, ...], ...]:
        """Decay of each electron of each neutral atom, (Z - inner electrons) / shell.

        That of a hydrogen-like orbital whose nucleus the inner shells screen, 1/bohr.
        """
        shells = [
            (n, sum(SHELLS[: n - 1])) for n, k in enumerate(SHELLS, 1) for _ in range(k)
        ]
        return tuple(
            tuple((z - inner) / n for n, inner in shells[:z]) for z in self.charges
        )

    def displacements(self, x: Array) -> Array:
        """x_i - R_I (n, nuclei, 3) of positions x (n, 3), bohr."""
        positions = jnp.asarray(np.array(self.positions), x.dtype)
        return x[:, None, :] - positions[None, :, :]

    def per_nucleus(self, like: Array) -> Array:
        """Charges (1, nuclei) with the dtype of an array."""
        return jnp.asarray(np.array(self.charges)[None], like.dtype)
