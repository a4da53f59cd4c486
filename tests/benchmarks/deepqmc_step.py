"""Training steps with DeepQMC on the same atom: a peer of `speed.py`.

Runs in an environment with DeepQMC alone. For each line read it takes a step with the
settings of its command line, the forward Laplacian and KFAC, and as many walkers as
ours, and prints its CPU seconds.
"""

import logging
import sys
import tempfile
import time

import deepqmc.train
from deepqmc.conf.custom_resolvers import process_idx_suffix  # noqa: F401, registers
from hydra import compose, initialize_config_module
from hydra.utils import call
from omegaconf import OmegaConf

WALKERS = 256


class Steps:
    """Numbers of the steps, one for each line read, with CPU seconds printed after."""

    n, total = 0, None

    def __init__(self, *arguments, **settings):
        """Take the arguments of `tqdm.trange`, and ignore them."""

    def __iter__(self):
        yield from range(3)
        print("ready", flush=True)
        for i, _ in enumerate(sys.stdin):
            start = time.process_time()
            yield 3 + i
            print(time.process_time() - start, flush=True)

    def set_postfix(self, **values):
        """Show nothing."""

    def close(self):
        """Nothing is open."""


def main(system, ansatz):
    assert system == "beryllium"
    logging.disable(logging.CRITICAL)
    deepqmc.train.trange = Steps
    with initialize_config_module("deepqmc.conf", version_base=None):
        overrides = [
            f"ansatz={ansatz}",
            "hamil/mol=Be",
            f"task.electron_batch_size={WALKERS}",
            "task.pretrain_steps=0",
            "+task.max_eq_steps=10",
            f"task.workdir={tempfile.mkdtemp()}",
        ]
        config = compose("config", overrides)
    call(OmegaConf.to_object(config)["task"], _convert_="all")


if __name__ == "__main__":
    main(*sys.argv[1:])
