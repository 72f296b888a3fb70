"""`python -m echoserver` is the program `echoserver`."""

import sys

from echoserver.cli import main

if __name__ == "__main__":
    sys.exit(main())
