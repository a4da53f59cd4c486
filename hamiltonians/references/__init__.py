"""Exact solvers and published energies."""
