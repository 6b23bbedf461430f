"""Rings, aromaticity and canonical keys do not depend on how a molecule is written."""

import pytest
from known_molecules import DRUGS, read_zinc

from scratchvae.chemistry import Atom, Bond, Molecule, canonical_key, read_smiles
from scratchvae.chemistry.aromaticity import aromatic_bonds
from scratchvae.chemistry.matching import perfect_matching
from scratchvae.chemistry.rings import ring_bonds, smallest_rings
from scratchvae.errors import InputError

CAGES = {
    "C12C3C4C1C5C2C3C45": [4] * 5,  # cubane: 12 bonds - 8 atoms + 1
    "C1CC2CCC1C2": [5, 5],  # norbornane
    "C1C2CC3CC1CC(C2)C3": [6, 6, 6],  # adamantane
    "C1CC2CCC1CC2": [6, 6],
    "C1CC2(C1)CC2": [3, 4],
    "C1CCCCC1.C1CC1": [3, 6],
    "CCC": [],
}


@pytest.mark.parametrize("smiles", CAGES)
def test_smallest_rings(smiles):
    molecule = read_smiles(smiles)
    rings = smallest_rings(molecule)
    assert sorted(map(len, rings)) == CAGES[smiles] and len(rings) == molecule.n_rings
    bonds = {frozenset((bond.i, bond.j)) for bond in molecule.bonds}
    for ring in rings:
        assert all(frozenset(pair) in bonds for pair in zip(ring, ring[1:] + ring[:1], strict=True))


def test_bonds_of_rings():
    """Two triangles joined by a bond: that one lies in no ring."""
    edges = [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 5), (5, 3)]
    assert ring_bonds(6, edges) == [True] * 3 + [False] + [True] * 3


def test_perfect_matchings_through_odd_cycles(rng):
    """Against the search through all: random graphs of eight vertices, half of them without a perfect matching."""

    def exists(edges, vertices):
        if not vertices:
            return True
        first = min(vertices)
        return any(exists(edges, vertices - {first, other}) for other in vertices if frozenset((first, other)) in edges)

    found = []
    for _ in range(400):
        edges = {frozenset(map(int, rng.choice(8, 2, replace=False))) for _ in range(rng.integers(5, 12))}
        neighbours = {v: sorted(next(iter(e - {v})) for e in edges if v in e) for v in range(8)}
        partner = perfect_matching(neighbours)
        found.append(not isinstance(partner, int))
        assert found[-1] == exists(edges, frozenset(range(8))), neighbours
        if found[-1]:
            assert all(partner[partner[v]] == v and frozenset((v, partner[v])) in edges for v in range(8))
    assert 0.2 < sum(found) / len(found) < 0.8


AROMATIC = {
    "c1ccccc1": 6,
    "C1=CC=CC=C1": 6,
    "C1=CC=CC=CC=C1": 0,  # cyclooctatetraene has 8
    "C1=CC=CN1": 5,
    "C1=CCC=C1": 0,
    "O=C1C=CC=CN1": 6,
    "O=C1C=CC(=O)C=C1": 0,  # quinone
    "O=C1NC(=O)NC(=O)N1": 6,  # with 6 electrons of 3 nitrogens
    "C1=CC2=CC=CC=CC2=C1": 10,  # azulene: the outline of 10 atoms, but not the bond inside
    "C1=CC=C2C=CC=CC2=C1": 11,
    "C1=C[CH-]C=C1": 5,
    "C1=CC=C[CH+]C=C1": 7,
    "O=S1C=CC=C1": 0,
    "B1C=CC=CC=1": 6,
}


@pytest.mark.parametrize("smiles", AROMATIC)
def test_aromatic_bonds(smiles):
    assert len(aromatic_bonds(read_smiles(smiles))) == AROMATIC[smiles]


def relabelled(molecule, order):
    """The same molecule with its atoms in another order."""
    place = {int(old): new for new, old in enumerate(order)}
    bonds = [type(bond)(place[bond.i], place[bond.j], bond.order, bond.aromatic) for bond in molecule.bonds]
    return Molecule([molecule.atoms[old] for old in order], bonds[::-1])


SYMMETRIC = ["C12C3C4C1C5C2C3C45", "FC(F)(F)C(C(F)(F)F)(C(F)(F)F)c1cc(C(F)(F)F)cc(C(F)(F)F)c1", "C1CCCCC1.C1CCCCC1"]


@pytest.mark.parametrize("smiles", [row[1] for row in DRUGS] + SYMMETRIC)
def test_a_key_does_not_depend_on_the_order_of_atoms(smiles, rng):
    molecule = read_smiles(smiles)
    key = canonical_key(molecule)
    for _ in range(10):
        assert canonical_key(relabelled(molecule, rng.permutation(len(molecule.atoms)))) == key


def test_keys_tell_molecules_apart():
    """What refinement alone does not tell apart is among them: one ring of 12 and two of 6, decalin and a bicycle."""
    different = [
        *("CCO", "COC", "CC=O", "CC[O-]", "[13CH3]CO", "C=CO", "C1CCCCCCCCCCC1", "C1CCCCC1.C1CCCCC1"),
        *("C1CCC2CCCCC2C1", "C1CCC(C1)C1CCCC1", "Oc1ccccn1", "O=c1cccc[nH]1", "Cc1ccccc1C", "Cc1cccc(C)c1"),
    ]
    assert len({canonical_key(read_smiles(smiles)) for smiles in different}) == len(different)


def test_one_key_for_all_spellings():
    for one, other in [
        ("c1ccccc1C", "CC1=CC=CC=C1"),
        ("C[C@H](N)O", "C[C@@H](N)O"),
        ("F/C=C/F", "F/C=C\\F"),
        ("Cc1ccccc1O", "CC1=C(O)C=CC=C1"),
        ("Cc1ccccc1O", "CC1=CC=CC=C1O"),
        ("[O-][n+]1ccccc1", "O=n1ccccc1"),
        ("CC(=O)[O-].[Na+]", "[Na+].[O-]C(C)=O"),
    ]:
        assert canonical_key(read_smiles(one)) == canonical_key(read_smiles(other)), one


def test_what_is_too_large_is_refused():
    """Large rings are no matter; prisms are: all their squares, and one of the two polygons, are smallest rings."""
    with pytest.raises(InputError, match="canonical_key: expected a molecule of at most 200 atoms, received 300"):
        canonical_key(read_smiles("C" * 300))
    assert len(smallest_rings(read_smiles("C1" + "C" * 1000 + "C1"))) == 1
    for n in (14, 110):
        edges = [(i, (i + 1) % n) for i in range(n)] + [(n + i, n + (i + 1) % n) for i in range(n)]
        edges += [(i, n + i) for i in range(n)]
        prism = Molecule([Atom("C", 1) for _ in range(2 * n)], [Bond(i, j) for i, j in edges])
        if n < 100:
            assert sorted(len(ring) for ring in smallest_rings(prism)) == [4] * n + [n]
        else:
            with pytest.raises(InputError, match="at most 200 atoms in rings as entangled as these, received 220"):
                smallest_rings(prism)


@pytest.mark.slow
def test_rdkit_agrees(data_dir):
    """Random spellings have one key, and what differs for RDKit has keys that differ; aromatic bonds agree."""
    chem = pytest.importorskip("rdkit.Chem")
    molecules = {}
    for smiles in read_zinc(data_dir)[::80]:
        oracle = chem.MolFromSmiles(smiles)
        theirs = {frozenset((b.GetBeginAtomIdx(), b.GetEndAtomIdx())) for b in oracle.GetBonds() if b.GetIsAromatic()}
        assert aromatic_bonds(read_smiles(smiles)) == theirs, smiles
        written = [chem.MolToSmiles(oracle, doRandom=True, canonical=False) for _ in range(2)]
        kekule = chem.MolToSmiles(oracle, kekuleSmiles=True, canonical=False)
        keys = {canonical_key(read_smiles(spelling)) for spelling in [smiles, kekule, *written]}
        assert len(keys) == 1, smiles
        molecules.setdefault(keys.pop(), set()).add(chem.MolToSmiles(oracle, isomericSmiles=False))
    assert len(molecules) > 3000 and all(len(canonical) == 1 for canonical in molecules.values())
