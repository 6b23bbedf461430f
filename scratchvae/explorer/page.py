"""The explorer: one HTML page that shows a latent space and lets a reader move through it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy
from numpy.typing import ArrayLike

from scratchvae.alphabet import strings_of
from scratchvae.arrays import as_array
from scratchvae.backend import to_numpy
from scratchvae.chemistry.elements import HYPERVALENT_IONS, SYMBOLS, VALENCES
from scratchvae.errors import InputError, one_line
from scratchvae.explorer import rows
from scratchvae.explorer.network import Weights, written_decoder
from scratchvae.models.latent_variable_model import LatentVariableModel
from scratchvae.pixels import Pixels
from scratchvae.replacement import replace

SCRIPTS = ("decoder", "chemistry", "layout", "pictures", "map", "state", "show", "controls")
"""The parts of the page's script, in their order; each is a file of this package."""

ELEMENTS = {"symbols": SYMBOLS, "valences": VALENCES, "ions": HYPERVALENT_IONS}
"""The tables that chemistry.js uses."""

HEIGHT = 900
"""The height of the page in a notebook, in pixels."""


class Explorer:
    """An Explorer holds an HTML page that shows a latent space. A notebook displays it, and `save` writes it to a file.

    Parameters
    ----------
    page : str
        The HTML text.

    Attributes
    ----------
    page : str
        The HTML text, which needs no other file and no network. Its content security policy allows only its own script
        and style, and values from the data are shown as text, never interpreted as HTML.

    See Also
    --------
    scratchvae.explorer : Makes the page for a model and data.

    Examples
    --------
    >>> import scratchvae as sv
    >>> page = sv.explorer(sv.VAE.mlp(latent_size=2, hidden=(8,)), sv.data.draw_digits(10).images)
    >>> page
    Explorer(page of 0.1 MB)
    """

    def __init__(self, page: str) -> None:
        self.page = page

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page to a file. Raises OSError if the file cannot be written; an older file then stays intact.

        Parameters
        ----------
        path : path
            The file, such as "page.html".
        """
        replace(path, self.page.encode())

    def _repr_html_(self) -> str:
        """Returns the page in a frame that may run its own script but has no access to the notebook."""
        inside = html.escape(self.page, quote=True)
        style = f"width: 100%; height: {HEIGHT}px; border: 0"
        return f'<iframe title="latent space" sandbox="allow-scripts" style="{style}" srcdoc="{inside}"></iframe>'

    def __repr__(self) -> str:
        return f"Explorer(page of {len(self.page) / 1e6:.1f} MB)"


def explorer(
    model: LatentVariableModel,
    x: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    attributes: Mapping[str, ArrayLike] | None = None,
    properties: Mapping[str, ArrayLike] | None = None,
    image_shape: Sequence[int] | None = None,
    thumbnails: bool = True,
    title: str = "",
) -> Explorer:
    """Returns a page with a map of the codes, the means of q(z | x). As the reader moves z, the page shows p(x | z).

    The page holds the decoder and computes it, with weights of 16 bits, or of 32 bits for sketches and strings. At most
    2,000 rows, evenly chosen, are shown.

    Parameters
    ----------
    model : VAE, SemiSupervisedVAE, StackedVAE, SketchRNN or MoleculeVAE
        The model, whose decoder consists of layers of this package.
    x : array (N, ...), or strings
        Rows as the model takes them.
    labels : array (N,), optional
        Integers or words for classes, or numbers; the first colouring of the map.
    attributes, properties : dict of arrays (N,), optional
        Truth values, and numbers, by name: further colourings, and directions in which z can be moved.
    image_shape : (H, W) or (H, W, C), optional
        The shape of an image, if the rows of x are vectors. By default, vectors of at least 64 numbers that fill a
        square are shown as images.
    thumbnails : bool
        Whether the page also holds the rows, such as small images. Without them it shows only images that the decoder
        makes. Rows with missing entries need `thumbnails=False`.
    title : str
        The title of the page; by default the name of the model's class.

    Returns
    -------
    Explorer
        The page; `save` writes it to a file.

    Raises InputError for a model of another class or without latent units, for a decoder with a network or a likelihood
    of the user's own, and for thumbnails of rows with missing entries; and the errors of `model.encode` for x.

    See Also
    --------
    Explorer : The page.

    Examples
    --------
    >>> import scratchvae as sv
    >>> digits = sv.data.draw_digits(20)
    >>> model = sv.VAE.mlp(latent_size=2, hidden=(8,))
    >>> page = sv.explorer(model, digits.images, digits.labels)
    >>> "<script" in page.page
    True
    """
    if not isinstance(model, LatentVariableModel) or not model.latent_size:
        expected = "a VAE, SemiSupervisedVAE, StackedVAE, SketchRNN or MoleculeVAE with a latent space"
        raise InputError("explorer", expected, f"a {type(model).__name__}")
    strings = strings_of(x)
    if not isinstance(x, Pixels):
        x = as_array("explorer", x) if strings is None else numpy.array(strings)
    if x.shape[:1] in ((), (0,)):
        raise InputError("explorer", "at least one row", f"shape {x.shape}")
    weights = Weights.of(model)
    decoder = written_decoder(model, weights)
    n, chosen = len(x), rows.evenly(len(x))
    known = rows.colourings(labels, attributes or {}, properties or {}, n)
    for each in known:
        each["values"] = each["values"][chosen]
    x = rows.as_seen(model, x[chosen])
    z, classes = rows.encoded(model, x)
    if thumbnails and x.dtype.kind == "f" and bool((x != x).any()):
        raise InputError("explorer", "rows without missing entries to show", "NaN", "thumbnails=False, --no-thumbnails")
    content = {
        "title": one_line(title or type(model).__name__),
        "rows": numpy.arange(n)[chosen].tolist(),
        "units": model.latent_size,
        "standard prior": model.has_standard_prior,
        "decoder": decoder,
        "weights": weights.written(),
        "colourings": known,
        "directions": rows.directions(z, known, of_classes=not classes),
        "classes": classes,
        **rows.described_codes(z),
        **_described_rows(model, x, decoder["kind"], image_shape, thumbnails),
    }
    return Explorer(_page(content))


def _described_rows(model: Any, x: Any, kind: str, image_shape: Any, thumbnails: bool) -> dict[str, Any]:
    """Describes the appearance of the rows, by the kind of picture that shows them."""
    if kind == "molecule":
        strings = x if x.dtype.kind == "U" else model.alphabet.decode(x)
        written = {"molecules": [str(each) for each in strings]} if thumbnails else {}
        return {"picture": "molecule", "elements": ELEMENTS} | written
    if kind == "sketch":
        scale = float(model.decoder.scale)
        return {"picture": "sketch"} | ({"sketches": rows.described_sketches(x, scale)} if thumbnails else {})
    shape = rows.image_size(x, image_shape)
    if shape is None:
        return {"picture": "vector", "vectors": rows.described_vectors(x, thumbnails)}
    return {"picture": "image", "images": rows.described_images(to_numpy(x), shape, thumbnails)}


def _page(content: Mapping[str, Any]) -> str:
    """Returns the page with this content; its JSON contains no "<", so that no tag can begin there."""
    files = resources.files("scratchvae.explorer")
    script = "\n".join(files.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    style = files.joinpath("page.css").read_text(encoding="utf-8")
    parts = {
        "policy": f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'",
        "title": html.escape(content["title"]),
        "style": style,
        "content": json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        "script": script,
    }
    page = files.joinpath("page.html").read_text(encoding="utf-8")
    pieces = page.split("{{")
    return pieces[0] + "".join(parts[name] + rest for name, _, rest in (piece.partition("}}") for piece in pieces[1:]))


def _hash(text: str) -> str:
    """Returns the content security policy's source expression that allows this text alone."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
