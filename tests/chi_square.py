"""Samples of few configurations against their exact probabilities."""

import numpy as np
import scipy.stats


def p_value(samples, x, p):
    """p-value of the chi-square test, with rare configurations merged.

    Args:
      samples: (n, s) levels.
      x: (c, s) all possible levels.
      p: (c,) their probabilities.
    """
    n, q = len(samples), int(x.max()) + 1
    weights = q ** np.arange(x.shape[1] - 1, -1, -1)
    counts = np.bincount(np.asarray(samples) @ weights, minlength=q ** x.shape[1])
    counts = counts[x @ weights]
    assert counts.sum() == n and n >= 4000
    order = np.argsort(p)
    expected = n * p[order] / p.sum()
    bins = (np.cumsum(expected) / 40).astype(int)  # about 40 or more in each
    _, bins = np.unique(np.minimum(bins, bins[-1] - 1), return_inverse=True)
    groups = [np.bincount(bins, v) for v in (counts[order], expected)]
    return scipy.stats.chisquare(*groups).pvalue
