"""The parts of the Slicer module: one class a file, put together by `LDMSeg.py`.

Importable wherever the folder that holds this package is on `sys.path`, as Slicer puts it there. Nothing here needs torch.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("LDMSegLib") is None:
    # An installed extension has LDMSegLib beside the module; a clone keeps it one folder up. At the end of the path, so that
    # none of the clone's other folders gets before anything of Slicer's.
    sys.path.append(str(Path(__file__).resolve().parents[2]))
