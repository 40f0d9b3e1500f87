"""Started by path in the other interpreter, which need not have mlmd: brings it and works.

mlmd is put among the modules by itself; nothing else of the environment that it comes from can be
imported from there.
"""

import importlib.util
import os
import sys


def main() -> None:
    """Import mlmd from the folder given and hand over to the worker."""
    if sys.version_info < (3, 11):  # noqa: UP036  (the other interpreter may be any)
        sys.exit(f"Python {sys.version.split()[0]} in {sys.prefix}; mlmd's workers need 3.11")
    # This file's own folder is first in the path unless PYTHONSAFEPATH is set; its neighbours are
    # not top-level modules.
    own = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [place for place in sys.path if place != own]
    folder, command = sys.argv[1:]
    spec = importlib.util.spec_from_file_location(
        "mlmd", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mlmd"] = module
    spec.loader.exec_module(module)
    from mlmd.calculators.isolation import worker

    worker.main(command)


if __name__ == "__main__":
    main()
