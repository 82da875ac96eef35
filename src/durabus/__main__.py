"""`python -m durabus` is the command `durabus`."""

import sys

from durabus.cli.start import main

if __name__ == "__main__":
    sys.exit(main())
