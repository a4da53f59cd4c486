"""A model of the time of a training step on many devices, from counted work and bytes.

    python -m tests.benchmarks.weak_scaling

prints the numbers of the table in `docs/scale.md`, which explains the formulas.
"""

import dataclasses
import itertools
import math


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of natural gradient on devices with the same number of walkers each.

    The equations are factorized, or solved by so many products with derivatives and
    their transpose, which read the derivatives from memory twice.
    """

    p: int  # parameters
    tau: float  # seconds of a device for one walker: sampling, energy, derivatives
    walkers: int  # on each device
    products: int = 0  # of conjugate gradients; 0 for a factorization
    speed: float = 1e13  # operations of a device per second
    bandwidth: float = 50e9  # bytes that a device receives per second
    latency: float = 10e-6  # seconds of a collective, times log2 of the devices
    memory: float = 2e12  # bytes that a device reads from its memory per second

    def parts(self, devices: int) -> dict[str, float]:
        """Seconds for the walkers, for bytes, for the solve, and of latency."""
        w, p = self.walkers * devices, self.p
        small, large = min(w, p), max(w, p)
        if self.products:  # a sum takes two passes
            moved = 8 * 2 * p * (self.products + 3)
            solve = self.products * 2 * 8 * self.walkers * p / self.memory
            collectives = 10 + self.products
        else:
            # the smaller matrix and two vectors of the parameters are summed; the
            # derivatives change from rows to columns for the Gram matrix
            moved = 8 * (2 * small**2 + 4 * p + (w * p / devices if w < p else 0))
            solve = (2 * small**2 * large / devices + small**3 / 3) / self.speed
            collectives = 15
        return {
            "walkers": self.walkers * self.tau,
            "bytes": moved * (1 - 1 / devices) / self.bandwidth,
            "solve": solve,
            "latency": collectives * self.latency * math.log2(devices),
        }

    def efficiency(self, devices: int, latency: bool = True) -> float:
        """The time on one device over that on so many, with or without latencies."""
        alone, together = (
            sum(parts.values()) - (0 if latency else parts["latency"])
            for parts in (self.parts(1), self.parts(devices))
        )
        return alone / together


ELECTRONS = {14: (9609, 1.69e-5), 54: (10269, 37.2e-5)}  # p and tau
PRODUCTS = 43  # of 14 electrons after 400 steps, to the default tolerance


def main() -> None:
    """Print one row for each system, solver, number of walkers and of devices."""
    print("electrons, walkers on each, products, devices, four parts in ms, efficiency")
    choices = itertools.product(ELECTRONS.items(), (64, 256, 1024), (0, PRODUCTS))
    for (n, system), walkers, products in choices:
        step = Step(*system, walkers, products)
        for devices in (1, 2, 4, 8, 16, 64, 1024):
            times = (f"{1e3 * t:.3g}" for t in step.parts(devices).values())
            both = (f"{step.efficiency(devices, latency):.2f}" for latency in (1, 0))
            print(n, walkers, products, devices, *times, *both, sep=" | ")


if __name__ == "__main__":
    main()
