"""A few rows, chosen at random, keep their labels."""

from __future__ import annotations

from typing import Any

import numpy

from scratchvae.arrays import as_array
from scratchvae.errors import DataError, InputError
from scratchvae.noise import Noise


def label_subset(labels: Any, n: int, seed: int = 0) -> numpy.ndarray:
    """Returns the labels of n randomly chosen rows, balanced over classes, and -1 for all other rows.   (N,)

    Classes are 0, ..., the largest label. If n is not a multiple of the number of classes, randomly chosen classes get
    one extra row.

    Raises InputError for an n below the number of classes, and DataError for labels that are not integers from 0 on,
    and for a class with too few rows.
    """
    labels = as_array("label_subset", labels)
    if labels.dtype.kind not in "iu" or labels.ndim != 1 or len(labels) == 0:
        raise DataError("label_subset", "integers of shape (N,)", f"{labels.dtype} of shape {labels.shape}")
    if labels.min() < 0:
        raise DataError("label_subset", "classes from 0 on", f"the label {labels.min()}")
    if labels.min() == 1:
        raise DataError("label_subset", "classes from 0 on", f"labels from 1 to {labels.max()}", "labels - 1")
    n_classes = int(labels.max()) + 1
    if not isinstance(n, (int, numpy.integer)) or isinstance(n, bool) or n < n_classes:
        raise InputError("label_subset", f"at least one label for each of {n_classes} classes", repr(n))
    noise, wanted = Noise(seed), numpy.full(n_classes, n // n_classes)
    wanted[noise.permutation("classes", n_classes)[: n % n_classes]] += 1
    order, known = noise.permutation("labelled rows", len(labels)), numpy.full(len(labels), -1)
    for k in range(n_classes):
        rows = order[labels[order] == k][: wanted[k]]
        if len(rows) < wanted[k]:
            raise DataError("label_subset", f"{wanted[k]} rows of class {k} for {n} labels", f"{len(rows)}")
        known[rows] = k
    return known
