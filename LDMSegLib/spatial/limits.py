"""What an image of a head may be: one number for each limit, for the command line and for Slicer's panel alike.

Imports nothing, so that the panel can check volumes before anything is installed.
"""

from __future__ import annotations

FEWEST_VOXELS = 8
"""Along each axis."""
SMALLEST_SPACING_MM, LARGEST_SPACING_MM = 0.1, 20.0
SMALLEST_EXTENT_MM = 30.0
"""Of the field of view along each axis; less is no head, or a header in other units."""
LARGEST_EXTENT_MM = 320.0
"""Of the brain along each axis of the model's grid, which grows with a brain that is larger than it was trained on."""

SAME_GRID_MM = 0.1
"""Affines written by different programs differ by rounding: up to this the grids are one grid."""
FULL_COVERAGE = 0.95
"""Of the reference's field of view; of an image that covers less it is said how much."""
NO_OVERLAP_DICE = 0.02
"""Of two images' foregrounds: below it the brains lie in different places altogether, which no registration note would mend."""

# The limits of what is worth a warning. Measured on 24 preprocessed glioma cases: at least 81 % of the field of view is background,
# brains take 1.0 to 1.7 litres, at most 20 cm² of brain lie on a face of the image, and the sequences' foregrounds agree with Dice
# 0.988 or better. On a raw exam 3 to 10 % of the voxels are 0, and a head takes 4 litres and more.
SMALLEST_BRAIN_ML, LARGEST_BRAIN_ML = 600.0, 2300.0
LEAST_BACKGROUND = 0.15
"""Share of the voxels that one value must fill to be the background of a skull-stripped image."""
LARGEST_CUT_CM2 = 40.0
LEAST_FOREGROUND_DICE = 0.9
FEWEST_VALUES = 32
MOST_NEGATIVE = 0.01
