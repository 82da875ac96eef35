"""`python -m durabus` is the command `durabus`."""

import sys

from durabus.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
