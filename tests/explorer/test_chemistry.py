"""chemistry.js judges strings as scratchvae.chemistry does; layout.js places atoms so that a formula can be read."""

import numpy
from explorer_pages import MOLECULES, run_node

from scratchvae.chemistry import read_smiles, split_smiles, why_invalid
from scratchvae.explorer.page import ELEMENTS

WRITTEN = [
    *("c1ccccc1", "c1cccc1", "c1cc[nH]c1", "c1ccnc1", "CN(=O)=O", "CN=N#N", "C[N+](=O)[O-]", "[H][H]", "C[H]", "[2H]O"),
    *(
        "",
        "C(",
        "C)",
        "C1CC",
        "C=",
        "=C",
        "C==C",
        "C%12CC%12",
        "[NH5]",
        "[Fe+2]",
        "F(F)F",
        "C:C",
        "cc",
        "C1C1",
        "[",
        "C.C",
    ),
    *(
        "c1ccc2ccccc2c1",
        "c1ccc2cccc2cc1",
        "C/C=C\\C",
        "N[C@@H](C)C(=O)O",
        "S(=O)(=O)(O)O",
        "[13CH3]O",
        "Cl[Pt]Cl",
        "C5",
    ),
    *(
        "é",
        "<script>alert(1)</script>",
        "O=c1[nH]c(=O)c2[nH]cnc2[nH]1",
        "[Si-2](F)(F)(F)(F)(F)F",
        "B(O)O",
        "[Zz]",
        "C" * 4001,
    ),
]


def damaged(strings, rng):
    """Each string with a symbol exchanged, left out, doubled or put in."""
    symbols = sorted(
        {symbol for string in strings for symbol in split_smiles(string)} | {"%11", "$", ":", "[nH]", "[O-]"}
    )
    for string in strings:
        parts = split_smiles(string)
        place, other = rng.integers(len(parts)), symbols[rng.integers(len(symbols))]
        yield "".join(
            parts[:place]
            + [[other], [], [parts[place]] * 2, [other, parts[place]]][rng.integers(4)]
            + parts[place + 1 :]
        )


def test_a_string_is_a_molecule_here_as_there(rng):
    valid = MOLECULES.molecules.tolist()
    strings = WRITTEN + valid + [each for _ in range(6) for each in damaged(valid, rng)]
    code = """
    return given.strings.map((string) => {
      try {
        const { atoms } = readSmiles(string, given.elements), sum = (values) => values.reduce((a, b) => a + b, 0);
        const hydrogen = atoms.filter(({ element }) => element === "H").length;
        return [sum(atoms.map(({ hydrogens }) => hydrogens)) + hydrogen, sum(atoms.map(({ charge }) => charge))];
      } catch (error) {
        if (!(error instanceof Fault)) throw error;
        return Number(error.message.match(/at character (\\d+)$/)[1]);
      }
    });
    """
    found = run_node(["decoder", "chemistry"], code, {"strings": strings, "elements": ELEMENTS})
    n_valid = 0
    for string, here in zip(strings, found, strict=True):
        reason = why_invalid(string)
        if reason is None:
            molecule = read_smiles(string)
            n_valid += 1
            n_hydrogen = sum(atom.hydrogens + (atom.element == "H") for atom in molecule.atoms)
            assert here == [n_hydrogen, molecule.charge], string
        else:
            assert isinstance(here, int), (string, reason)
    assert 80 < n_valid < len(strings) - 80


def test_atoms_stand_apart_and_bonds_have_one_length():
    strings = MOLECULES.molecules[:25].tolist()
    code = """
    return given.strings.map((string) => {
      const molecule = readSmiles(string, given.elements), { places } = coordinates(molecule);
      const bonds = molecule.bonds.map(({ i, j }) => [i, j]);
      return { places, bonds, crossings: crossings(molecule.bonds, places) };
    });
    """
    scripts = ["decoder", "chemistry", "layout"]
    crossed = 0
    for molecule in run_node(scripts, code, {"strings": strings, "elements": ELEMENTS}):
        xy = numpy.array(molecule["places"])
        lengths = [numpy.hypot(*(xy[i] - xy[j])) for i, j in molecule["bonds"]]
        assert 0.75 < min(lengths) and max(lengths) < 1.3
        distances = numpy.hypot(*(xy[:, None] - xy[None]).T) + 9 * numpy.eye(len(xy))
        assert distances.min() > 0.35
        crossed += molecule["crossings"] > 0
    assert crossed <= 1
