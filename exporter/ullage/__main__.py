"""`python -m ullage` is the `ullage` command."""

import sys

from ullage.cli import main

if __name__ == "__main__":
    sys.exit(main())
