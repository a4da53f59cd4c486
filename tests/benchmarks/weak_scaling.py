"""A model of the time of a training step on many devices, from counted work and bytes.

    python -m tests.benchmarks.weak_scaling

prints the numbers of the table in `docs/scale.md`, which explains the formulas.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Step:
    """A step of natural gradient on devices with the same number of walkers each."""

    p: int  # parameters
    tau: float  # seconds of a device for one walker: sampling, energy, derivatives
    walkers: int  # on each device
    speed: float = 1e13  # operations of a device per second
    bandwidth: float = 50e9  # bytes that a device receives per second
    latency: float = 10e-6  # seconds of a collective, times log2 of the devices
    collectives: int = 15

    def parts(self, devices: int) -> dict[str, float]:
        """Seconds for the walkers, for bytes, for the solve, and of latency."""
        w, p = self.walkers * devices, self.p
        small, large = min(w, p), max(w, p)
        # the smaller matrix and two vectors of the parameters are summed, which takes
        # two passes; the derivatives change from rows to columns for the Gram matrix
        moved = 8 * (2 * small**2 + 4 * p + (w * p / devices if w < p else 0))
        work = 2 * small**2 * large / devices + small**3 / 3
        return {
            "walkers": self.walkers * self.tau,
            "bytes": moved * (1 - 1 / devices) / self.bandwidth,
            "solve": work / self.speed,
            "latency": self.collectives * self.latency * math.log2(devices),
        }

    def efficiency(self, devices: int) -> float:
        """The time on one device over that on so many."""
        alone, together = (sum(self.parts(k).values()) for k in (1, devices))
        return alone / together


ELECTRONS = {14: (9609, 1.69e-5), 54: (10269, 37.2e-5)}  # p and tau


def main() -> None:
    """Print one row for each system, number of walkers and number of devices."""
    print("electrons, walkers on each, devices, four parts in ms, efficiency")
    for n, system in ELECTRONS.items():
        for walkers in (64, 256):
            step = Step(*system, walkers)
            for devices in (1, 2, 4, 8, 16, 64, 1024):
                times = (f"{1e3 * t:.3g}" for t in step.parts(devices).values())
                efficiency = f"{step.efficiency(devices):.2f}"
                print(n, walkers, devices, *times, efficiency, sep=" | ")


if __name__ == "__main__":
    main()
