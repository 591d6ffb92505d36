"""Rows of results for tests."""

from freqkd_lite.results.rows import Row


def row(method, value, interval=None, seed=0, **about) -> Row:
    """A mean probe AP on MSRS's val, but for what is said `about` it."""
    base = dict(claim="walk", data="msrs", split="val", metric="probe_ap", klass="mean")
    return Row(method=method, value=value, interval=interval, seed=seed, **(base | about))
