"""Projection to the ground state: diffusion and Green's function Monte Carlo.

`continuous` and `lattice` are the drivers, `population` their shared weights and
renewal. `run` projects the psi of a finished run.
"""
