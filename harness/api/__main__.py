"""`python -m crossframe` is the command `crossframe`."""

import sys

from crossframe.harness.cli import main

if __name__ == "__main__":
    sys.exit(main())
