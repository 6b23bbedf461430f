"""The entry point of the command line: it runs a command and returns the exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import scratchvae as sv
from scratchvae.cli.arguments import UsageError
from scratchvae.cli.commands import CheckFailed
from scratchvae.cli.parser import parser
from scratchvae.cli.train import train
from scratchvae.errors import InputError
from scratchvae.ranks import Alone, ranks


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    The exit status is 0 for success, 2 for bad input, 1 for a training or a check that failed, 130 after Ctrl-C, and
    141 if the reader of the output has closed its pipe. Of several ranks only the first prints, unless another rank
    fails alone.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file may have any name
    world = Alone()
    try:
        world = ranks()
        if not world.first:
            sys.stdout = open(os.devnull, "w")
        options = parser().parse_args(arguments)
        if world.size > 1 and options.command is not train:
            raise UsageError(f"expected one process for all commands but train, received {world.size} ranks")
        options.command(options)
        if sys.stdout is not None:
            sys.stdout.flush()  # now, so that a closed pipe is noticed
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard the rest of the output
        sentence, status = "", 141
    except (InputError, OSError, UsageError) as error:
        sentence, status = f"scratchvae: {error}", 2
    except MemoryError as error:
        sentence, status = f"scratchvae: not enough memory: {error}", 2
    except (sv.NonFiniteError, CheckFailed) as error:
        sentence, status = f"scratchvae: {error}", 1
    except KeyboardInterrupt as interrupt:
        sentence, status = f"scratchvae: {interrupt or 'interrupted'}", 130
    else:
        return 0
    world.fail(sentence, status)
    return status
