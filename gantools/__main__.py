"""`python -m gantools`."""

import sys

from gantools.cli import main

if __name__ == "__main__":
    sys.exit(main())
