"""`python -m LDMSegLib` is the command `ldmseg`."""

import sys

from LDMSegLib.cli import main

if __name__ == "__main__":
    sys.exit(main())
