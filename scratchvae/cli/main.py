"""A command, and the exit status of what becomes of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import scratchvae as sv
from scratchvae.cli.commands import CheckFailed
from scratchvae.cli.parser import UsageError, parser
from scratchvae.errors import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    The exit status is 0, 2 for bad input, 1 for a training or check that failed, 130 after Ctrl-C, and 141 where nobody
    reads the output any more.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file may have any name
    try:
        options = parser().parse_args(arguments)
        options.command(options)
        if sys.stdout is not None:
            sys.stdout.flush()  # now, so that a closed pipe is noticed
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard the rest of the output
        return 141
    except (InputError, OSError, UsageError) as error:
        print(f"scratchvae: {error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"scratchvae: not enough memory: {error}", file=sys.stderr)
        return 2
    except (sv.NonFiniteError, CheckFailed) as error:
        print(f"scratchvae: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"scratchvae: {interrupt or 'interrupted'}", file=sys.stderr)
        return 130
    return 0
