"""Entry point: ``mlmd`` and ``python -m mlmd.cli``."""

from mlmd.cli.app import main

if __name__ == "__main__":
    main()
