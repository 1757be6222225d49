"""Make the small reference brain that raw scans are turned to: `python -m Training.reference_brain -o FILE`.

The brain is ICBM's MNI152 average (Fonov et al. 2011), as the nilearn package ships it. It is put where SRI24's brain lies,
which the BraTS data are prepared in, by an affine transform; these twelve numbers, found once by registering the two
averages, are all that is taken from SRI24.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_template

from LDMSegLib.cases.grid import PlacedGrid, to_grid

# MNI152 world → SRI24 world, RAS mm (correlation of the two T1 averages; Dice of the two brains 0.96).
MNI_TO_SRI24 = np.array(
    [
        [0.9217, -0.0075, -0.0019, -119.0105],
        [-0.0088, 0.9401, -0.1906, 125.6208],
        [-0.0079, 0.1894, 0.8496, 71.3413],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
SPACING_MM = 3.0
FIRST, SHAPE = (-195.0, 12.0, -6.0), (51, 70, 54)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    grid = np.diag([SPACING_MM] * 3 + [1.0])
    grid[:3, 3] = FIRST
    template = load_mni152_template(resolution=1)
    brain = to_grid(template.get_fdata(dtype=np.float32), MNI_TO_SRI24 @ template.affine, PlacedGrid(grid, SHAPE))
    grey = np.rint(np.clip(brain / brain.max(), 0, 1) * 255).astype(np.uint8)
    image = nib.Nifti1Image(grey, grid)
    image.header["descrip"] = b"ICBM MNI152 average brain, 3 mm, in SRI24's place"
    image.set_sform(grid, code="template")
    nib.save(image, parser.parse_args().output)


if __name__ == "__main__":
    main()
