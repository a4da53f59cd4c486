"""Geometry as values: boxes, lattices, spins, oscillator levels."""
