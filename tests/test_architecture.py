"""The house as docs/architecture.md draws it: layers, rooms, and what each may import."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

PAGE = Path("docs") / "architecture.md"
MOST_FILES, MOST_LINES, MEDIAN_LINES = 13, 400, 145
BROAD = ("cli", "plot")  # one file for each command, one for each plot


def modules(package: Path) -> dict[str, Path]:
    """Files of a package by their dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """What each module imports of the package, at its top, in functions and for type checking."""
    package = next(iter(files)).partition(".")[0]
    found: dict[str, set[str]] = {}
    for name, path in files.items():
        targets = found.setdefault(name, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: expected absolute imports"
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    targets.add(inner if inner in files else str(node.module))
        targets.intersection_update(
            target for target in list(targets) if target.partition(".")[0] == package
        )
        targets.discard(name)
    return found


def circles(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other (Tarjan 1972, doi:10.1137/0201010)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for target in arrows.get(node, ()):
            if target not in number:
                visit(target)
                lowest[node] = min(lowest[node], lowest[target])
            elif target in stack:
                lowest[node] = min(lowest[node], number[target])
        if lowest[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in arrows:
        if node not in number:
            visit(node)
    return found


def room_of(module: str) -> str:
    """The room at the top that a module lies in; ``mlmd`` for the public names themselves."""
    return [*module.split("."), module][1]


def layers(page: str) -> dict[str, int]:
    """Layer of each room, by the table of the page, from the ground up."""
    rows = re.findall(r"^\| \*(\w+)\* \| (.+?) \|", page, flags=re.MULTILINE)
    assert rows, "the page has no table of layers"
    return {
        room.rstrip("/"): number
        for number, (_, rooms) in enumerate(rows)
        for room in re.findall(r"`([\w/]+)`", rooms)
    }


def arrows_up(arrows: Mapping[str, Iterable[str]], level: Mapping[str, int]) -> list[str]:
    """Imports of a layer above one's own."""
    return [
        f"{module} -> {target}"
        for module, targets in arrows.items()
        for target in targets
        if level[room_of(target)] > level[room_of(module)]
    ]


def between(arrows: Mapping[str, Iterable[str]]) -> dict[str, set[str]]:
    """Arrows between the rooms at the top."""
    found: dict[str, set[str]] = {}
    for module, targets in arrows.items():
        found.setdefault(room_of(module), set()).update(room_of(target) for target in targets)
    return {room: targets - {room} for room, targets in found.items()}


@pytest.fixture(scope="module")
def house() -> tuple[dict[str, Path], dict[str, set[str]]]:
    files = modules(Path(__file__).resolve().parent.parent / "mlmd")
    return files, imports(files)


@pytest.fixture
def level(repository: Path) -> dict[str, int]:
    return layers((repository / PAGE).read_text(encoding="utf-8"))


def test_every_room_has_a_layer(house, level):
    rooms = {room_of(module) for module in house[0]}
    assert rooms == set(level)


def test_no_import_goes_up(house, level):
    assert arrows_up(house[1], level) == []


def test_no_imports_go_in_circles(house):
    assert circles(house[1]) == []


def test_no_rooms_import_each_other_in_circles(house):
    assert circles(between(house[1])) == []


def test_a_room_imports_only_what_its_first_page_says(house):
    """Each ``__init__`` ends with what the modules of its room may import from others."""
    files, arrows = house
    rooms = [name for name, path in files.items() if path.name == "__init__.py" and "." in name]

    def home(module: str) -> str:
        return max(
            (room for room in rooms if f"{module}.".startswith(f"{room}.")), key=len, default=""
        )

    wrong = []
    for room in rooms:
        text = ast.get_docstring(ast.parse(files[room].read_text(encoding="utf-8"))) or ""
        said = re.search(r"May import ([^.]*?)\.\s*\Z", text.replace("\n", " "))
        if said is None:
            wrong.append(f"{room} does not say what it may import")
            continue
        allowed = ["mlmd." + one.replace("/", ".") for one in re.findall(r"`([\w/]+)`", said[1])]
        taken = {
            target
            for module, targets in arrows.items()
            if home(module) == room
            for target in targets
            if home(target) != room
        }
        for target in sorted(taken):
            if not any(f"{target}.".startswith(f"{one}.") for one in allowed):
                wrong.append(f"{room} imports {target}")
        idle = [one for one in allowed if not any(f"{t}.".startswith(f"{one}.") for t in taken)]
        wrong += [f"{room} says that it may import {one}, and does not" for one in idle]
    assert wrong == []


def test_rooms_and_modules_can_be_taken_in_at_a_glance(house):
    files, _ = house
    inside: dict[Path, int] = {}
    lines = {}
    for path in files.values():
        lines[path] = len(path.read_text(encoding="utf-8").splitlines())
        if path.name != "__init__.py" and not (set(path.parts) & set(BROAD)):
            inside[path.parent] = inside.get(path.parent, 0) + 1
    assert {str(folder): n for folder, n in inside.items() if n > MOST_FILES} == {}
    assert {str(path): n for path, n in lines.items() if n > MOST_LINES} == {}
    own = [n for path, n in lines.items() if path.name != "__init__.py"]
    assert statistics.median(own) <= MEDIAN_LINES


def test_the_guard_sees_what_it_is_there_for(tmp_path):
    """Planted: a circle through a function, one for type checking only, an arrow upwards."""
    package = tmp_path / "house"
    for name, text in {
        "__init__": "",
        "ground/__init__": "",
        "ground/stone": "def f():\n    from house.roof.tile import g\n",
        "ground/sand": "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from house.ground.clay import C\n",
        "ground/clay": "from house.ground import sand\n",
        "roof/__init__": "",
        "roof/tile": "import house.ground.stone\n",
        "roof/beam": "from house.roof.tile import g\n",
    }.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    arrows = imports(modules(package))
    assert circles(arrows) == [
        ["house.ground.clay", "house.ground.sand"],
        ["house.ground.stone", "house.roof.tile"],
    ]
    assert circles(between(arrows)) == [["ground", "roof"]]
    level = layers("| *low* | `ground/` | |\n| *high* | `house`, `roof/` | |\n")
    assert arrows_up(arrows, level) == ["house.ground.stone -> house.roof.tile"]


def test_importing_analysis_loads_nothing_that_runs():
    """Who measures what is on the disk waits for no stages, integrators or calculators."""
    code = (
        "import sys, mlmd.analysis\n"
        "print(*(name for name in sys.modules if name.startswith('mlmd.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in done.stdout.split()}
    assert "analysis" in rooms
    assert rooms.isdisjoint({"stages", "dynamics", "protocol", "calculators", "plot", "cli"})
