"""Samplers by name."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial

from experiments.command_line.notation import Part
from nqs.checks import one_of
from nqs.types import Sampler
from samplers import (
    AllParticles,
    Direct,
    Gibbs,
    Langevin,
    Metropolis,
    Move,
    OneParticle,
    SiteMetropolis,
    SiteMove,
    Wolff,
)

MOVES = {"all_particles": AllParticles(), "one_particle": OneParticle()}


def sampler(part: Part, known: Mapping[str, Callable], sweeps: int | None) -> Sampler:
    """Build the sampler that was named, with another number of sweeps where given.

    Raises:
      ValueError: for an unknown name or field.
    """
    built = part.build("sampler", known)
    if sweeps is None:
        return built
    if "sweeps" not in {field.name for field in dataclasses.fields(built)}:
        raise ValueError(f"sampler {part.name} has no field 'sweeps'")
    return dataclasses.replace(built, sweeps=sweeps)


def metropolis(move="all_particles", **settings) -> Metropolis:
    """Metropolis with its move by name."""
    return moving(MOVES, move, settings)


def moving(moves: Mapping[str, Move], move: str, settings: dict) -> Metropolis:
    """Metropolis with one of these moves.

    Raises:
      ValueError: for an unknown move.
    """
    return Metropolis(move=moves[one_of("move", move, moves)], **settings)


def in_a_trap() -> dict[str, Callable]:
    """Samplers of particles in a trap."""
    return in_a_box() | {"gibbs": Gibbs}


def in_a_box() -> dict[str, Callable]:
    """Samplers of particles in a periodic box."""
    return {"metropolis": metropolis, "langevin": Langevin}


def of_sites(move: SiteMove) -> dict[str, Callable]:
    """Samplers of lattices."""
    return {"metropolis": partial(SiteMetropolis, move), "direct": Direct}


def of_classical_sites(move: SiteMove) -> dict[str, Callable]:
    """Samplers of classical models."""
    return of_sites(move) | {"wolff": Wolff}
