"""`python -m ullage.inject DIR` is `ullage inject-copy DIR`."""

import sys

from ullage.cli import main

if __name__ == "__main__":
    sys.exit(main(["inject-copy", *sys.argv[1:]]))
