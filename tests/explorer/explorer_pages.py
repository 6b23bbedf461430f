"""What the tests of the explorer share: its scripts run by Node, models of every kind, and the content of a page."""

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy
import pytest

import scratchvae as sv

ROOM = Path(sv.__file__).parent / "explorer"
MOLECULES = sv.data.draw_molecule_set(60, seed=4)
SKETCHES = sv.data.draw_sketches(40, seed=4).sketches
SYMBOLS = sv.Alphabet.of(MOLECULES.molecules).symbols


def run_node(names, code, given):
    """What `code` returns, with these files of the explorer before it and `given` at hand. Skips without Node."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node")
    scripts = "\n".join((ROOM / f"{name}.js").read_text(encoding="utf-8") for name in names)
    read = 'const given = JSON.parse(require("fs").readFileSync(0, "utf8"));'
    program = f"{scripts}\n{read}\nconsole.log(JSON.stringify((() => {{ {code} }})()));"
    finished = subprocess.run([node, "-e", program], input=json.dumps(given), capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


class Tags(HTMLParser):
    """The tags of a page with their attributes, and the text inside each script and style."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.texts, self.inside = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.texts.append("")
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = None

    def handle_data(self, data):
        if self.inside in ("script", "style", "title"):
            self.texts[-1] += data

    def text(self, tag, **attributes):
        (found,) = [
            text
            for (name, own), text in zip(self.tags, self.texts, strict=True)
            if name == tag and all(own.get(key) == value for key, value in attributes.items())
        ]
        return found


def content_of(explorer):
    """What Python has written into a page."""
    return json.loads(Tags(explorer.page).text("script", id="content"))


def stirred(model):
    """The model with noise added to all weights, biases and scales too, rounded as float16 holds them."""
    noise = numpy.random.default_rng(3)
    for x in model.named_parameters().values():
        x.data[...] = (x.data + 0.2 * noise.standard_normal(x.shape)).astype(numpy.float16)
    return model
