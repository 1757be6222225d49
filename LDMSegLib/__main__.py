"""`python -m LDMSegLib` is the command `ldmseg`."""

import sys

from LDMSegLib.cli.entry_point import main

if __name__ == "__main__":
    sys.exit(main())
