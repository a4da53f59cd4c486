"""Pair potentials, Ewald sums and sums over periodic images."""
