"""Every `scratchvae` command that a document shows is one that the command line accepts."""

import re
import shlex
from pathlib import Path

import pytest

from scratchvae.cli.arguments import UsageError
from scratchvae.cli.parser import parser

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if "generated" not in path.parts),
]
COMMAND = re.compile(r"^(?:mpiexec -n \d+ )?scratchvae ([a-z]+(?: .*)?)$")


def code(text):
    """The lines of shell blocks and of indented code, and the spans of code within sentences."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S) + re.findall(r"^ {4}\S.*(?:\n {4,}\S.*)*", text, re.M)
    yield from (line.strip() for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines())
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))


def commands(path):
    """The arguments of each command, without those that only ask for help."""
    found = (COMMAND.match(line.split("  #")[0].strip()) for line in code(path.read_text()))
    return [shlex.split(match[1]) for match in found if match and "--help" not in match[1]]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_command_line_accepts_every_command_of_a_document(path):
    for arguments in commands(path):
        if len(arguments) > (2 if arguments[0] == "plot" else 1):  # else the name of a command, or of its picture
            parser().parse_args(arguments)


def test_commands_are_found_in_blocks_and_in_sentences():
    found = [" ".join(arguments) for path in DOCUMENTS for arguments in commands(path)]
    assert len(found) > 60
    for expected in ("train", "train --resume runs/mnist-1", "runs sweep --json"):
        assert expected in found
    assert any("--kl-floor 25.6 --kl-annealing 0.99995" in command for command in found)  # over two lines


def test_the_page_on_use_lists_every_command():
    listed = re.findall(r"^scratchvae (\w+) {2,}", (ROOT / "docs" / "use.md").read_text(), re.M)
    (choices,) = (action.choices for action in parser()._actions if isinstance(action.choices, dict))
    assert len(listed) == len(choices) and set(listed) == choices.keys()


def test_an_option_that_is_not_there_is_noticed():
    with pytest.raises(UsageError, match="--latent-size"):
        parser().parse_args(["train", "--latent-size", "2"])
