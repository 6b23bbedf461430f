"""Pictures of molecules: which labels, lines and colours are where."""

import numpy
import pytest
from matplotlib.colors import to_hex

import scratchvae as sv
from scratchvae.chemistry import read_smiles
from scratchvae.errors import InputError
from scratchvae.plotting.canvas import BLUE, ORANGE
from scratchvae.plotting.molecules import HEIGHT, TITLE


def labels(figure):
    return [(text.get_text(), *text.get_position()) for text in figure.axes[0].texts]


def segments(figure):
    return [line for lines in figure.axes[0].collections for line in lines.get_segments()]


def test_carbons_are_corners_and_others_have_symbols_hydrogens_and_charges():
    names = [name for name, _, _ in labels(sv.plotting.molecules(["[NH3+]CC(=O)[O-]"]))]
    assert sorted(names) == ["+", "H$_{3}$", "N", "O", "O", "\u2212"]
    assert [name for name, _, _ in labels(sv.plotting.molecules(["CCC"]))] == []
    assert [name for name, _, _ in labels(sv.plotting.molecules(["C"]))] == ["C", "H$_{4}$"]
    assert sorted(name for name, _, _ in labels(sv.plotting.molecules(["[13CH3]O"]))) == [
        "$^{13}$C",
        "H",
        "H$_{3}$",
        "O",
    ]


def test_lines_of_bonds():
    """Every line has two halves, a colour each: a single bond is one line, double and triple ones two and three."""
    for smiles, n in {"CC": 1, "C=C": 2, "C#C": 3, "c1ccccc1": 9, "CC(=O)N": 4}.items():
        figure = sv.plotting.molecules([smiles])
        assert len(segments(figure)) == 2 * n, smiles
    figure = sv.plotting.molecules(["NC=O"])
    colours = {to_hex(colour).upper() for lines in figure.axes[0].collections for colour in lines.get_colors()}
    assert colours == {"#000000", BLUE, ORANGE}


def test_the_second_line_of_a_ring_is_inside():
    figure = sv.plotting.molecules(["c1ccccc1"])
    points = numpy.concatenate(segments(figure))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    corners = numpy.hypot(*(points - middle).T).max()
    inner = [line for line in segments(figure) if numpy.hypot(*(line.mean(axis=0) - middle)) < 0.75 * corners]
    assert len(inner) == 6  # three lines of two halves


def test_no_bond_runs_through_a_label():
    for smiles in sv.data.draw_molecules(20):
        figure = sv.plotting.molecules([smiles])
        symbols = [(x, y) for name, x, y in labels(figure) if name.isalpha() and name != "H"]
        atoms = [atom for atom in read_smiles(smiles).atoms if atom.element != "C"]
        assert len(symbols) == len(atoms)
        for start, end in segments(figure):
            along = end - start
            for place in symbols:
                t = numpy.clip((place - start) @ along / max(along @ along, 1e-12), 0, 1)
                assert numpy.hypot(*(start + t * along - place)) > 0.012, smiles


def test_molecules_stay_in_their_cells_with_captions_below():
    smiles = sv.data.draw_molecules(7)
    captions = [f"number {k}" for k in range(7)]
    figure = sv.plotting.molecules(smiles, captions, columns=3)
    assert figure.axes[0].get_xlim() == (0, 3)
    places = {name: (x, y) for name, x, y in labels(figure)}
    assert places["number 0"][0] == 0.5 and places["number 4"][0] == 1.5 and places["number 6"][0] == 0.5
    assert places["number 0"][1] == places["number 2"][1] > places["number 3"][1] > places["number 6"][1]
    for line in segments(figure):
        assert (numpy.floor(line[:, 0]) == numpy.floor(line[0, 0])).all()


def test_rows_are_as_high_as_their_molecules_and_a_title_stands_above():
    chain, tall = "CCCCCC", "CC(C)(C)C(C)(C)C(C)(C)C(C)(C)C"
    heights = [sv.plotting.molecules([each]).axes[0].get_ylim()[0] for each in (chain, tall)]
    assert 0 > heights[0] > heights[1] >= -HEIGHT
    both = sv.plotting.molecules([chain, tall], columns=1, title="two")
    assert both.axes[0].get_ylim()[0] == pytest.approx(sum(heights) - TITLE)
    assert labels(both)[0] == ("two", 0.5, -TITLE / 2)
    for start, end in segments(both):
        assert sum(heights) - TITLE <= min(start[1], end[1]) and max(start[1], end[1]) <= -TITLE


def test_what_is_no_molecule_is_written_out():
    figure = sv.plotting.molecules(["c1cccc1", "CC", "$" * 300, ""])
    texts = [name for name, _, _ in labels(figure)]
    assert texts[0] == "c1cccc1" and texts[1].replace("\n", " ").startswith(
        "no molecule: expected aromatic rings with a"
    )
    assert len(texts) == 6 and texts[4] == "(empty)" and max(map(len, texts)) < 250
    figure.canvas.draw()
    large = [name for name, _, _ in labels(sv.plotting.molecules(["C" * 4000]))]
    assert large[1].replace("\n", " ") == "too large to be drawn: 4000 atoms"


def test_arguments():
    with pytest.raises(InputError, match="molecules: expected at least one SMILES, received none"):
        sv.plotting.molecules([])
    with pytest.raises(InputError, match="molecules: expected 2 captions, one for each molecule, received 1"):
        sv.plotting.molecules(["C", "CC"], ["methane"])
    assert sv.plotting.molecules(numpy.array(["C", "CC"])).axes[0].get_xlim() == (0, 2)


def test_the_command_draws_some(tmp_path, monkeypatch, capsys):
    from scratchvae.cli import main

    drawn = sv.data.draw_molecule_set(60)
    monkeypatch.setitem(sv.data.DATASETS, "drawn-molecules", lambda data_dir, seed: drawn.cut(40))
    main(["data", "drawn-molecules", "--out", str(tmp_path / "a.png")])
    out = capsys.readouterr().out
    assert (tmp_path / "a.png").stat().st_size > 10_000 and str(tmp_path / "a.png") in out
    assert "train  40 molecules of " in out and "100.0% valid by read_smiles (" in out
    assert "means: logP " in out and ", weight " in out and ", rings " in out
