"""Figures and the sentences under them, one module a part of the walk."""
