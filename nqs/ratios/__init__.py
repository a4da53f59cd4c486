"""Ratios psi(x') / psi(x) for changed sites and for exchanged particles."""
