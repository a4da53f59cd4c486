"""The forward Laplacian and its rules for pairs, messages and plane waves."""
