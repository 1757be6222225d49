"""What preparing raw scans gives: the case, the transforms, and a picture of every step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from LDMSegLib.preprocessing.case import Case


@dataclass(frozen=True, eq=False)
class Step:
    """One thing that was done, for the report.

    `image` (X, Y, Z) is what it gave, `outline` (bool, on the same grid) what should fit it, `affine` the grid's; `measure`
    says in words and numbers how well it went.
    """

    title: str
    image: np.ndarray
    outline: np.ndarray
    affine: np.ndarray
    measure: str


@dataclass(frozen=True, eq=False)
class Prepared:
    """`case` is ready for the networks, and its `native_space` is the grid of the result.

    `transforms` takes (from, to) to the matrix between the two worlds: each sequence to the reference, and the reference to
    the prepared space. `brain` is the mask on the prepared grid, `record` what provenance.json should say.
    """

    case: Case
    transforms: Mapping[tuple[str, str], np.ndarray]
    brain: np.ndarray
    steps: tuple[Step, ...]
    record: Mapping[str, Any]
