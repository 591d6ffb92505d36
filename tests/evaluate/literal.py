"""A bootstrap by its definition, for the tests of faster ones."""

import numpy as np

from freqkd_lite.evaluate.stats import percentiles, resamples


def bootstrap(statistic, n_images, draws=1000, seed=0):
    """95 % percentile interval (Efron 1979) of a statistic of an array of image indices."""
    return percentiles(np.array([float(statistic(i)) for i in resamples(n_images, draws, seed)]))
