"""Measured rows and the tables made of them."""
