"""Entry point: ``mlmd`` and ``python -m mlmd.cli``."""

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # python -m puts the working directory first: a random.py there would be taken for Python's.
    del sys.path[0]

from mlmd.cli.app import main

if __name__ == "__main__":
    main()
