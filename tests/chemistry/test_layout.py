"""Coordinates: bonds of length 1, regular rings, zigzag, nothing on top of another, whatever the molecule."""

import time

import numpy
import pytest
from known_molecules import DRUGS, read_zinc

import scratchvae as sv
from scratchvae.chemistry import read_smiles
from scratchvae.chemistry.layout import coordinates
from scratchvae.chemistry.rings import smallest_rings


def distances(xy):
    return numpy.hypot(*(xy[:, None] - xy[None]).T)


def bonds(molecule, xy):
    return numpy.array([numpy.hypot(*(xy[bond.i] - xy[bond.j])) for bond in molecule.bonds])


def nearest(molecule, xy):
    """The least distance of two atoms without a bond."""
    apart = distances(xy) + 9 * numpy.eye(len(xy))
    for bond in molecule.bonds:
        apart[bond.i, bond.j] = apart[bond.j, bond.i] = 9
    return apart.min()


@pytest.mark.parametrize("smiles", [row[1] for row in DRUGS], ids=[row[0] for row in DRUGS])
def test_drugs(smiles):
    molecule = read_smiles(smiles)
    xy = coordinates(molecule)
    assert numpy.abs(bonds(molecule, xy) - 1).max() < 0.2 and nearest(molecule, xy) > 0.75
    assert numpy.ptp(xy[:, 0]) >= numpy.ptp(xy[:, 1])
    numpy.testing.assert_allclose(xy.max(axis=0) + xy.min(axis=0), 0, atol=1e-9)
    for ring in smallest_rings(molecule):
        radii = numpy.hypot(*(xy[ring] - xy[ring].mean(axis=0)).T)
        assert radii.max() / radii.min() < 1.15  # a regular polygon


def test_a_chain_is_a_zigzag_and_a_triple_bond_is_straight():
    xy = coordinates(read_smiles("CCCCCC"))
    steps = numpy.diff(xy, axis=0)
    turns = steps[:-1, 0] * steps[1:, 1] - steps[:-1, 1] * steps[1:, 0]
    assert (numpy.sign(turns[:-1]) == -numpy.sign(turns[1:])).all()
    numpy.testing.assert_allclose(numpy.abs(turns), numpy.sin(numpy.pi / 3), atol=0.05)
    for smiles in ("CC#CC", "CC#N", "C=C=C"):
        a, b, c = coordinates(read_smiles(smiles))[:3]
        assert abs((b - a)[0] * (c - b)[1] - (b - a)[1] * (c - b)[0]) < 0.1


def test_substituents_stand_outside_of_rings():
    """Those of a corner with two rings too, as the methyl groups of a steroid."""
    for smiles in ("C[C@]12CC[C@H]3[C@H]([C@@H]1CC[C@@H]2O)CCC4=CC(=O)CC[C@]34C", "CC1(C)CCCCC1", "CN(C)C1(CO)CCCCCC1"):
        molecule = read_smiles(smiles)
        xy = coordinates(molecule)
        for ring in smallest_rings(molecule):
            centre = xy[ring].mean(axis=0)
            reach = numpy.hypot(*(xy[ring] - centre).T).max()
            outside = [k for k in range(len(xy)) if k not in ring]
            assert numpy.hypot(*(xy[outside] - centre).T).min() > reach


def test_parts_stand_side_by_side_and_one_atom_is_enough():
    molecule = read_smiles("CCO.c1ccccc1.[Na+]")
    xy = coordinates(molecule)
    first, second, third = (xy[part, 0] for part in molecule.fragments)
    assert first.max() < second.min() - 1 and second.max() < third.min() - 1
    assert coordinates(read_smiles("C")).tolist() == [[0, 0]] and coordinates(read_smiles("CC")).shape == (2, 2)


HOSTILE = [
    *("C12C3C4C1C5C2C3C45", "C1C2CC3CC1CC(C2)C3", "C1CC2CCC1C2", "C12CC1C2", "C1CCC2(CC1)CCCC2", "C1CC2(C1)CC2"),
    *("c1cc2ccc3cccc4ccc(c1)c2c34", "C" * 60, "C(C)" * 30, "C1" + "C" * 57 + "C1", "CC(C)(C)C(C(C)(C)C)C(C)(C)C"),
    *("FS(F)(F)(F)(F)F", "C1CC1C1CC1C1CC1", "C" * 300, "c1ccccc1" * 12),
]


@pytest.mark.parametrize("smiles", HOSTILE, ids=lambda smiles: smiles[:12])
def test_cages_and_long_molecules_take_no_time(smiles):
    molecule = read_smiles(smiles)
    started = time.process_time()
    xy = coordinates(molecule)
    assert time.process_time() - started < (0.5 if len(xy) <= 100 else 20)
    assert xy.shape == (len(molecule.atoms), 2) and numpy.isfinite(xy).all()


def test_real_and_drawn_molecules(data_dir):
    clashes = 0
    strings = sv.data.draw_molecules(30) + read_zinc(data_dir)[::8000]
    for smiles in strings:
        molecule = read_smiles(smiles)
        xy = coordinates(molecule)
        clashes += nearest(molecule, xy) < 0.6 or numpy.abs(bonds(molecule, xy) - 1).max() > 0.35
    assert clashes <= 0.04 * len(strings)  # bridged rings cannot be drawn flat
