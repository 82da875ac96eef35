"""Starts Durabus with redelivery switched off: what is not acknowledged is not delivered again when AckWait is over.

Test-only, and only for the test that shows that the story notices it. Takes the arguments of `durabus serve`. Everything
else works, also the move of a message away from a client that has left, so the story fails at its third step.
"""

import sys


def main(arguments: list[str]) -> int:
    """Serve, until told to stop."""
    sys.exit(f"redelivery cannot be switched off yet (arguments: {' '.join(arguments)})")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
