"""Parts by their names on the command line; these modules import JAX."""
