"""Tables of features after pandas, a spreadsheet or a careless hand had them."""

from __future__ import annotations

import csv
import io
import json
import logging

import numpy as np
import pytest
from ase import Atoms

pandas = pytest.importorskip("pandas", reason="needs the model extra")

from mlmd.cli.app import run_command_line  # noqa: E402
from mlmd.descriptors.featurize import featurize  # noqa: E402
from mlmd.descriptors.table import FeatureTable  # noqa: E402
from mlmd.errors import InputError  # noqa: E402
from mlmd.model.data.table import TrainingTable  # noqa: E402

SALTS = ("Li9Al9F9", "Li9Zn9Cl9", "Li13Mg5S9", "Li10Si8O9", "Li9Cl18", "Li12P6S9")


def structure(formula: str, seed: int) -> Atoms:
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3)
    atoms = Atoms(formula, 3.0 * grid, cell=[9.0 + 0.1 * seed] * 3, pbc=True)
    atoms.rattle(0.3, seed=seed)
    return atoms


def features(convention: str = "mlmd") -> FeatureTable:
    rows = {f"runs/{i}": structure(formula, i) for i, formula in enumerate(SALTS)}
    return featurize(rows, convention=convention, temperature_K=1000.0)


D = [1e-5 * (i + 1) for i in range(len(SALTS))]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A table as it should be: the head, with D added by hand."""
    path = tmp_path_factory.mktemp("table") / "features.csv"
    features().to_csv(path)
    head, columns, *rows = path.read_text().splitlines()
    rows = [f"{row},{d!r}" for row, d in zip(rows, D, strict=True)]
    path.write_text("\n".join([head, f"{columns},D_cm2_s", *rows]) + "\n")
    return path


def frame(path):
    return pandas.read_csv(path, skiprows=1)


def cells(path):
    return list(csv.reader(path.open(newline="")))


def spreadsheet(path, to, delimiter=",", encoding="utf-8", comma=False, end="\r\n"):
    """Save as a spreadsheet does: all rows as wide as the widest, the first line as cells."""
    rows = cells(path)
    wide = max(map(len, rows)) + 2
    if comma:
        rows = [[c.replace(".", ",") if n > 1 and _is_number(c) else c for c in row]
                for n, row in enumerate(rows)]  # fmt: skip
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerows([*[row + [""] * (wide - len(row)) for row in rows], [""] * wide])
    to.write_bytes(out.getvalue().encode(encoding))


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


WAYS = {
    "pandas without an index": lambda p, to: frame(p).to_csv(to, index=False),
    "pandas with an index": lambda p, to: frame(p).to_csv(to),
    "pandas twice with an index": lambda p, to: pandas.read_csv(
        io.StringIO(frame(p).to_csv())
    ).to_csv(to),
    "pandas, names as the index": lambda p, to: frame(p).set_index("name").to_csv(to),
    "pandas, other order": lambda p, to: frame(p)[sorted(frame(p))].to_csv(to, index=False),
    "pandas with semicolons": lambda p, to: frame(p).to_csv(to, sep=";", decimal=",", index=False),
    "pandas with tabs": lambda p, to: frame(p).to_csv(to, sep="\t", index=False),
    "pandas, quoted": lambda p, to: frame(p).to_csv(to, index=False, quoting=csv.QUOTE_ALL),
    "a spreadsheet": spreadsheet,
    "a spreadsheet with a BOM": lambda p, to: spreadsheet(p, to, encoding="utf-8-sig"),
    "a European spreadsheet": lambda p, to: spreadsheet(p, to, ";", "utf-8-sig", comma=True),
    "a spreadsheet with tabs": lambda p, to: spreadsheet(p, to, "\t", "utf-16", comma=True),
    "old line ends": lambda p, to: spreadsheet(p, to, end="\r"),
    "without spread": lambda p, to: frame(p)[
        [c for c in frame(p) if not c.endswith("_std")]
    ].to_csv(to, index=False),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_table_survives_other_programs(written, tmp_path, caplog, way):
    """Every number to the digits that the program has kept, and the labels."""
    WAYS[way](written, tmp_path / "t.csv")
    with caplog.at_level(logging.WARNING):
        back = TrainingTable.read(tmp_path / "t.csv", mobile="Li", convention="mlmd")
    whole = TrainingTable.read(written)
    assert (back.convention, back.mobile, back.formulas) == ("mlmd", "Li", whole.formulas)
    assert back.D_cm2_s == pytest.approx(D, rel=1e-12)
    assert back.temperature_K.tolist() == [1000.0] * len(SALTS)
    assert list(back.features.columns) == list(whole.features.columns)
    assert back.features.to_numpy() == pytest.approx(whole.features.to_numpy(), rel=1e-12)
    assert back.names == whole.names
    assert ("has lost its first line" in caplog.text) == ("pandas" in way or "without" in way)


def test_the_convention_of_a_table_without_its_first_line_is_told_by_its_columns(tmp_path, caplog):
    """Al9F9 and Zn9Cl9 have another anion by the alphabet; P6S9 alone has the same."""
    for convention in ("mlmd", "zheng2024"):
        features(convention).to_csv(tmp_path / "whole.csv", force=True)
        frame(tmp_path / "whole.csv").to_csv(tmp_path / "t.csv", index=False)
        back = FeatureTable.read_csv(tmp_path / "t.csv")
        assert (back.convention, back.mobile) == (convention, "Li")
        assert np.allclose(back.values, features(convention).values, equal_nan=True)
    other = {"mlmd": "zheng2024", "zheng2024": "mlmd"}[convention]
    with pytest.raises(InputError, match=f"columns fit {convention}, not {other}"):
        FeatureTable.read_csv(tmp_path / "t.csv", convention=other)
    with pytest.raises(InputError, match="columns fit Li, not Na"):
        FeatureTable.read_csv(tmp_path / "t.csv", mobile="Na")


def test_where_columns_fit_two_conventions_it_has_to_be_said(tmp_path, capsys):
    rows = {f"s{i}": structure("Li12P6S9", i) for i in range(30)}
    featurize(rows, temperature_K=1000.0).to_csv(tmp_path / "whole.csv")
    table = frame(tmp_path / "whole.csv").assign(D_cm2_s=np.geomspace(1e-6, 1e-4, 30))
    table.to_csv(tmp_path / "t.csv", index=False)
    command = ["train", str(tmp_path / "t.csv"), "--model", "ridge", "--beside", "none",
               "--folds", "random"]  # fmt: skip
    assert run_command_line(command) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "has lost its first line" in said
    assert "--convention" in said
    # What it says to do is what can be done.
    assert run_command_line([*command, "--convention", "mlmd"]) == 0


def test_a_first_line_is_believed_before_options(written):
    with pytest.raises(InputError, match="says convention mlmd, not zheng2024; leave out"):
        TrainingTable.read(written, convention="zheng2024")


def test_numbers_that_cannot_be_told_are_refused_with_line_and_column(written, tmp_path):
    rows = cells(written)
    place = rows[1].index("LASD")
    for text in ("1.234,5", "1,234", "#DIV/0!", "12 A"):
        changed = [list(row) for row in rows]
        changed[4][place] = text
        with (tmp_path / "t.csv").open("w", newline="") as file:
            csv.writer(file).writerows(changed)
        with pytest.raises(InputError, match=r"t\.csv, line 5: LASD is .*no number") as caught:
            TrainingTable.read(tmp_path / "t.csv")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:2], "has no rows"),
        (lambda lines: lines[1:2], "has no rows"),
        (lambda lines: [], "is empty"),
        (lambda lines: ["a,b", "1,2"], "is no table of features"),
        (lambda lines: [*lines[:2], f"{lines[2]},9"], "line 3: .* cells; the header has"),
        (lambda lines: [lines[0], lines[1].replace("LBI", "AAV"), *lines[2:]], "two columns named"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(written, tmp_path, change, says, capsys):
    (tmp_path / "t.csv").write_text("\n".join(change(written.read_text().splitlines())))
    assert run_command_line(["train", str(tmp_path / "t.csv"), "--model", "ridge"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert pandas.Series([line]).str.contains(says).all(), line


def own(path, to, values, name="gap_eV"):
    head = path.read_text().partition("\n")[0]
    to.write_text(head + "\n" + frame(path).assign(**{name: values}).to_csv(index=False))


def test_columns_of_ones_own_are_learnt_from_when_asked_and_never_passed_over(
    written, tmp_path, caplog
):
    gaps = np.linspace(1.0, 5.0, len(SALTS))
    own(written, tmp_path / "t.csv", gaps)
    with caplog.at_level(logging.WARNING):
        without = TrainingTable.read(tmp_path / "t.csv")
    assert "no feature of mlmd: gap_eV; to learn from it give --also gap_eV (also=)" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        table = TrainingTable.read(tmp_path / "t.csv", also=["gap_eV"])
    assert caplog.text == ""
    assert table.also == ("gap_eV",)
    assert list(table.features.columns) == [*without.features.columns, "gap_eV"]
    assert table.problem().X["gap_eV"].to_numpy() == pytest.approx(gaps)
    table.to_csv(tmp_path / "kept.csv")
    again = TrainingTable.read(tmp_path / "kept.csv", also=["gap_eV"])
    assert again.problem().sha256 == table.problem().sha256
    with pytest.raises(InputError, match="no column 'gap' to learn from as well; its own are gap_"):
        TrainingTable.read(tmp_path / "t.csv", also=["gap"])
    own(written, tmp_path / "bad.csv", [1.0, np.nan, *gaps[2:]])
    with pytest.raises(InputError, match=r"row 2 .* feature gap_eV is no finite number"):
        TrainingTable.read(tmp_path / "bad.csv", also=["gap_eV"])


_SLOW = [pytest.param(model, marks=pytest.mark.slow) for model in ("sisso_formulas", "best")]


@pytest.mark.parametrize("model", ["ridge", *_SLOW])
def test_a_model_of_ones_own_column_asks_for_it_and_follows_it(written, tmp_path, model, capsys):
    """ln D is made a law of that column alone: what is predicted follows it."""
    for package in ("sklearn", "skops", *(("xgboost",) if model == "best" else ())):
        pytest.importorskip(package, reason="needs the model extra")
    rows = {f"s{i}": structure(SALTS[i % 6], i) for i in range(36)}
    featurize(rows, temperature_K=1000.0).to_csv(tmp_path / "whole.csv")
    gaps = np.random.default_rng(0).uniform(1, 5, 36)
    table = tmp_path / "t.csv"
    head = (tmp_path / "whole.csv").read_text().partition("\n")[0]
    labelled = frame(tmp_path / "whole.csv").assign(gap_eV=gaps, D_cm2_s=1e-4 * np.exp(-gaps))
    table.write_text(head + "\n" + labelled.to_csv(index=False))
    file, cif = str(tmp_path / "m.mlmd"), str(tmp_path / "a.extxyz")
    command = ["train", str(table), "--model", model, "--also", "gap_eV", "--beside", "none",
               "--folds", "random", "--bootstrap", "10", "-o", file]  # fmt: skip
    assert run_command_line(command) == 0
    rows["s7"].write(cif)
    capsys.readouterr()
    ask = ["predict", file, cif, "-T", "1000", "--json"]
    assert run_command_line(ask) == 2
    assert "give it by --also gap_eV=VALUE" in capsys.readouterr().err
    found = {}
    for gap in (1.5, 4.5):
        assert run_command_line([*ask, "--also", f"gap_eV={gap}"]) == 0
        (one,) = json.loads(capsys.readouterr().out)["predictions"]
        found[gap] = np.log(one["D_cm2_s"])
    assert found[1.5] - found[4.5] == pytest.approx(3.0, rel=0.35)
    assert run_command_line([*ask, "--also", "gap_eV=2", "--also", "mass=3"]) == 2
    assert "no column 'mass'" in capsys.readouterr().err


def test_one_bad_formula_drops_no_honest_folds(written, tmp_path, capsys):
    """It is said, and the row named; else folds by chemical system would go missing in silence."""
    lines = written.read_text().splitlines()
    lines[3] = lines[3].replace("Cl9Li9Zn9", "Xx9Li9Zn9")
    assert "Xx9" in lines[3]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    assert run_command_line(["train", str(tmp_path / "t.csv"), "--model", "ridge"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "row 2 (Xx9Li9Zn9)" in line
    assert "too few chemical systems" not in line
