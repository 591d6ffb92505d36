"""Figures, one module per part of the tutorial.

Each comes with its description for readers who can't see it: `show(*curves(...))`.
"""
