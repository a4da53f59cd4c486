"""The same step in real time with quantax: the peer of `speed.py`.

Runs in an environment with quantax alone. For each line read it takes a step of order
three of the Ising ring of 20 sites, and prints its CPU seconds. quantax gives the
derivative of the parameters; each stage of the step takes one.
"""

import os
import sys
import time

os.environ["JAX_NUM_CPU_DEVICES"] = "1"

import jax  # noqa: E402
import numpy as np  # noqa: E402
import quantax as qtx  # noqa: E402

TIME_STEP = 0.005
SOLVERS = {1: None, 2: qtx.optimizer.lstsq_cg()}  # the default, and conjugate gradients


class RealTime:
    """Kutta's method of order three, of a complex RBM with 1024 samples."""

    def __init__(self, solver: int):
        qtx.set_default_dtype(np.complex128)
        qtx.sites.Chain(20)
        model = qtx.model.RBM_Dense(20, dtype=np.complex128)
        self.state = qtx.state.Variational(model)
        self.sampler = qtx.sampler.LocalFlip(self.state, 1024, sweep_steps=20)
        self.equations = qtx.optimizer.SR(
            self.state,
            qtx.operator.Ising(h=1.0),
            imag_time=False,
            solver=SOLVERS[solver],
        )

    def step(self) -> None:
        """One step, with new samples in every stage."""
        first = self._derivative()
        self.state.update(first * (TIME_STEP / 2))
        second = self._derivative()
        self.state.update((2 * second - 1.5 * first) * TIME_STEP)
        third = self._derivative()
        self.state.update((7 * first - 8 * second + third) * (TIME_STEP / 6))

    def _derivative(self) -> jax.Array:
        return self.equations.get_step(self.sampler.sweep())


def main(solver: int) -> None:
    driver = RealTime(solver)
    for _ in range(3):
        driver.step()
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        driver.step()
        jax.block_until_ready(driver.state.get_params_flatten())
        print(time.process_time() - start, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[2]))
