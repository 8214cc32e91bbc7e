"""Run a study by its name, wherever below this folder its module is; without a name, list all.

python scripts/studies NAME [--quick] [--jobs 2]
"""

import sys

from harness import catalogue

if __name__ == "__main__":
    catalogue.main(sys.argv[1:])
