"""The XXZ model: antiferromagnets of spins 1/2 with an easy axis or plane."""

import dataclasses

from jax import Array

from hamiltonians.heisenberg import Heisenberg
from hamiltonians.references.lanczos import diagonalized
from nqs.checks import finite, require
from nqs.types import Reference


@dataclasses.dataclass(frozen=True)
class XXZ(Heisenberg):
    """H = J sum_<ij> (S^x_i S^x_j + S^y_i S^y_j + delta S^z_i S^z_j), at fixed S^z.

    On a chain critical for -1 < delta <= 1 and an antiferromagnet above, with J > 0.

    Attributes:
      delta: anisotropy, 1 for the Heisenberg model.
    """

    delta: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        require(self, finite, "delta")

    def diagonal(self, x: Array) -> dict[str, Array]:
        """The coupling of the z components."""
        return {"coupling": self.delta * super().diagonal(x)["coupling"]}

    def references(self) -> tuple[Reference, ...]:
        """Those of the Heisenberg model, else exact for few sites."""
        return super().references() if self.delta == 1 else diagonalized(self)
