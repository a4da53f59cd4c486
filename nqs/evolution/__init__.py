"""Evolution in real time: the time-dependent variational principle.

`driver` takes the steps, `drives` change the Hamiltonian. `run` evolves the psi of a
finished run.
"""
