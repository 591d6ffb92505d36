"""Figures, one module per part of the tutorial."""
