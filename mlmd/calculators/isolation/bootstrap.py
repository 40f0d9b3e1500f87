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
    # This file's own folder is first in the path; its neighbours are not top-level modules.
    del sys.path[0]
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
