"""Structural formulas of molecules, side by side.

Carbons are corners without symbols or hydrogens; other atoms have their symbols, hydrogens, charges and colours.
Aromatic rings have the double bonds of a Kekule structure. Stereochemistry is not drawn. All molecules of a figure have
the same scale, except those that would not fit into their cell.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import numpy
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from scratchvae.chemistry import Atom, Bond, Molecule, read_smiles, why_invalid
from scratchvae.chemistry.layout import MOST_ATOMS, coordinates
from scratchvae.chemistry.rings import smallest_rings
from scratchvae.errors import InputError
from scratchvae.plotting.canvas import BLUE, GREEN, GREY, ORANGE

COLOURS = {"N": BLUE, "O": ORANGE, "S": "#9A7D00", "P": "#CC79A7"} | dict.fromkeys(("F", "Cl", "Br", "I"), GREEN)
"""Element -> colour; all others are black."""

CELL, HEIGHT, WRITTEN, CAPTION, TITLE = 2.3, 0.8, 0.62, 0.12, 0.2
"""The width of a cell in inches, and as shares of this width: the largest height of a cell, the height of a string that
is written out, of a caption, and of the title of the figure."""

CAPTION_SIZE = 13
"""The size of the captions in points."""

WIDEST, MARGIN = 7.5, 0.92
"""The number of bond lengths that fit in a cell at the common scale, and the largest filled share of a cell."""

LETTER, GAP, OFFSET = 0.54, 0.3, 0.17
"""In bond lengths: the height of letters, the distance of a bond from the centre of a symbol, and between two lines."""

SIDES = numpy.array([(1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)])
"""The possible positions of the hydrogens of an atom: right, left, above, below."""

CORNERS = numpy.array([(0.8, 0.6), (-0.8, 0.6), (0.8, -0.6), (-0.8, -0.6)])
"""The possible positions of the charge of an atom."""


def molecules(
    smiles: Sequence[str], captions: Sequence[str] | None = None, columns: int | None = None, title: str = ""
) -> Figure:
    """Draws molecules row by row, each with its caption below, and a title above all of them.

    A string that is no molecule, or that has more than 200 atoms, is written out with the reason.

    Parameters
    ----------
    smiles : str or sequence of str
        The molecules.
    captions : sequence of str, optional
        A caption for each molecule.
    columns : int, optional
        The number of molecules in a row; by default the figure is a square of at most five columns.
    title : str
        The title of the figure.

    Raises InputError for no strings, and unless there is a caption for each string.
    """
    smiles = [smiles] if isinstance(smiles, str) else [str(each) for each in smiles]
    if not smiles:
        raise InputError("molecules", "at least one SMILES", "none")
    if captions is not None and len(captions) != len(smiles):
        raise InputError("molecules", f"{len(smiles)} captions, one for each molecule", str(len(captions)))
    columns = columns or min(5, math.ceil(math.sqrt(len(smiles))))
    cells = [_cell(each) for each in smiles]
    caption = 0.0 if captions is None else CAPTION
    rows = [cells[k : k + columns] for k in range(0, len(cells), columns)]
    heights = [max(height for _, height in row) for row in rows]
    above = TITLE if title else 0.0
    tops = above + numpy.cumsum([0.0, *(height + caption for height in heights)])
    figure = Figure(figsize=(CELL * columns, CELL * tops[-1]), dpi=110)
    axes = figure.add_axes((0, 0, 1, 1))
    if title:
        axes.text(columns / 2, -TITLE / 2, title, ha="center", va="center", fontsize=15)
    for k, (molecule, _) in enumerate(cells):
        row, x = k // columns, k % columns + 0.5
        centre = numpy.array([x, -tops[row] - heights[row] / 2])
        if isinstance(molecule, str):
            _write_out(axes, smiles[k], molecule, centre)
        else:
            draw_molecule(axes, molecule, centre)
        if captions is not None:
            axes.text(x, -tops[row + 1] + caption / 2, captions[k], ha="center", va="center", fontsize=CAPTION_SIZE)
    axes.set(xlim=(0, columns), ylim=(-tops[-1], 0), aspect="equal")
    axes.set_axis_off()
    return figure


def _cell(smiles: str) -> tuple[Molecule | str, float]:
    """Returns the molecule, or the reason why the string is not drawn, and the height it needs, in widths of a cell."""
    reason = why_invalid(smiles)
    if reason:
        return f"no molecule: {reason}", WRITTEN
    molecule = read_smiles(smiles)
    if len(molecule.atoms) > MOST_ATOMS:
        return f"too large to be drawn: {len(molecule.atoms)} atoms", WRITTEN
    xy, scale = _fitted(molecule)
    return molecule, min(HEIGHT, float(numpy.ptp(xy[:, 1])) + 3 * LETTER * scale)


def _fitted(molecule: Molecule) -> tuple[numpy.ndarray, float]:
    """Returns the positions of the atoms around the origin, (atoms, 2), and a bond's length, in widths of a cell."""
    xy = coordinates(molecule)
    wide, high = numpy.ptp(xy, axis=0) + 2 * LETTER
    scale = MARGIN / max(wide, high / HEIGHT, WIDEST)
    return scale * xy, scale


def draw_molecule(axes: Axes, molecule: Molecule, centre: numpy.ndarray) -> None:
    """Draws one molecule around a centre, in a cell of width 1 that measures CELL inches."""
    xy, scale = _fitted(molecule)
    xy = centre + xy
    labelled = [_has_label(molecule, number) for number in range(len(molecule.atoms))]
    lines, colours = [], []
    inside = _ring_centres(molecule, xy)
    for bond in molecule.bonds:
        for start, end in _lines(molecule, bond, xy, labelled, inside, scale):
            middle = (start + end) / 2
            lines += [numpy.stack([start, middle]), numpy.stack([middle, end])]
            colours += [_colour(molecule.atoms[bond.i]), _colour(molecule.atoms[bond.j])]
    width = 1.6 * min(1.0, scale * WIDEST / MARGIN)
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=width, capstyle="round", zorder=1))
    for number in range(len(molecule.atoms)):
        if labelled[number]:
            _write_label(axes, molecule, number, xy, scale)


def _has_label(molecule: Molecule, number: int) -> bool:
    atom = molecule.atoms[number]
    return atom.element != "C" or bool(atom.charge or atom.isotope) or not molecule.neighbours[number]


def _colour(atom: Atom) -> str:
    return COLOURS.get(atom.element, "black")


def _ring_centres(molecule: Molecule, xy: numpy.ndarray) -> dict[frozenset[int], numpy.ndarray]:
    """Returns the centre of the ring of each ring bond; aromatic rings take precedence, then smaller ones."""
    centres: dict[frozenset[int], numpy.ndarray] = {}
    rings = smallest_rings(molecule)
    n_double = [sum(b.order == 2 and b.i in ring and b.j in ring for b in molecule.bonds) for ring in rings]
    for ring, _ in sorted(zip(rings, n_double, strict=True), key=lambda each: (-each[1], len(each[0]))):
        for i, j in zip(ring, ring[1:] + ring[:1], strict=True):
            centres.setdefault(frozenset((i, j)), xy[ring].mean(axis=0))
    return centres


def _lines(
    molecule: Molecule,
    bond: Bond,
    xy: numpy.ndarray,
    labelled: Sequence[bool],
    inside: dict[frozenset[int], numpy.ndarray],
    scale: float,
) -> list[tuple[numpy.ndarray, numpy.ndarray]]:
    """Returns the lines of a bond from atom i to atom j, shortened next to labels."""
    start, end = xy[bond.i], xy[bond.j]
    along = (end - start) / max(float(numpy.hypot(*(end - start))), 1e-9)
    start = start + along * scale * _gap(molecule, bond.i, labelled, along)
    end = end - along * scale * _gap(molecule, bond.j, labelled, along)
    across = numpy.array([-along[1], along[0]]) * OFFSET * scale
    if bond.order == 1:
        return [(start, end)]
    if bond.order >= 3:
        return [(start + k * across, end + k * across) for k in (-1, 0, 1)]
    centre = inside.get(frozenset((bond.i, bond.j)))
    if centre is None:
        ends = [len(molecule.neighbours[number]) for number in (bond.i, bond.j)]
        if min(ends) == 1 or molecule.atoms[bond.i].element != "C" or molecule.atoms[bond.j].element != "C":
            return [(start + k * across / 2, end + k * across / 2) for k in (-1, 1)]
        around = [xy[o] for number in (bond.i, bond.j) for o, _ in molecule.neighbours[number]]
        centre = numpy.mean(around, axis=0)
    side = across if across @ (centre - start) > 0 else -across
    cut = [0.0 if labelled[number] else 0.13 * scale for number in (bond.i, bond.j)]
    return [(start, end), (start + side + cut[0] * along, end + side - cut[1] * along)]


def _gap(molecule: Molecule, number: int, labelled: Sequence[bool], along: numpy.ndarray) -> float:
    if not labelled[number]:
        return 0.0
    wide = len(molecule.atoms[number].element) > 1
    return GAP + (0.1 * abs(float(along[0])) if wide else 0.0)


def _write_label(axes: Axes, molecule: Molecule, number: int, xy: numpy.ndarray, scale: float) -> None:
    """Writes the symbol at its place, the hydrogens on its freest side, and the charge at its freest corner."""
    atom, here = molecule.atoms[number], xy[number]
    size = LETTER * scale * CELL * 72
    letter, wide = LETTER * scale, 0.3 * (len(atom.element) > 1)

    def write(text: str, place: numpy.ndarray, size: float = size) -> None:
        colour = _colour(atom)
        axes.text(place[0], place[1], text, color=colour, fontsize=size, ha="center", va="center_baseline", zorder=3)

    write((f"$^{{{atom.isotope}}}$" if atom.isotope else "") + atom.element, here)
    taken = [_unit(xy[other] - here) for other, _ in molecule.neighbours[number]]
    if atom.hydrogens:
        upright = 0.3 if len(taken) > 1 else 2.0  # hydrogens stand beside a symbol at the end of a chain
        side = _freest(SIDES, taken, [0, 0.01, upright, upright])
        reach = (0.82 if atom.hydrogens == 1 else 0.98) + wide
        write("H" if atom.hydrogens == 1 else f"H$_{{{atom.hydrogens}}}$", here + letter * side * [reach, 1.0])
        taken.append(side)
    if atom.charge:
        sign = "+" if atom.charge > 0 else "\u2212"
        behind = atom.hydrogens > 0 and side[0] > 0 and len(taken) <= 2
        corner = CORNERS[0] if behind else _freest(CORNERS, taken, [0, 0.01, 0.8, 0.81])
        reach = reach + 0.75 + 0.3 * (atom.hydrogens > 1) if behind else 0.85 + wide
        text = sign if abs(atom.charge) == 1 else f"{abs(atom.charge)}{sign}"
        write(text, here + letter * corner * [reach, 0.75], 0.85 * size)


def _unit(vector: numpy.ndarray) -> numpy.ndarray:
    return vector / max(float(numpy.hypot(*vector)), 1e-9)


def _freest(options: numpy.ndarray, taken: Sequence[numpy.ndarray], extra: Sequence[float]) -> numpy.ndarray:
    """Returns the option farthest from the taken directions, where `extra` is a penalty for each option."""
    crowded = [max((float(option @ direction) for direction in taken), default=-1.0) for option in options]
    return options[int(numpy.argmin(numpy.array(crowded) + extra))]


def _write_out(axes: Axes, smiles: str, reason: str, centre: numpy.ndarray) -> None:
    """Writes a string that cannot be drawn, and the reason, both in at most five lines."""
    shown = smiles if len(smiles) <= 120 else f"{smiles[:57]} ... {smiles[-57:]}"
    text = "\n".join(textwrap.wrap(shown, 20)[:5] or ["(empty)"]).replace("$", r"\$")
    why = "\n".join(textwrap.wrap(reason, 26)[:5]).replace("$", r"\$")
    axes.text(centre[0], centre[1], text, ha="center", va="bottom", fontsize=11, family="monospace")
    axes.text(centre[0], centre[1] - 0.04, why, ha="center", va="top", fontsize=10, color=GREY)
