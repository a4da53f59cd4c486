"""Views of runs, from their files: pages, pictures of psi, figures, a live table."""
