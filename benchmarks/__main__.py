"""python -m benchmarks NAME [options]

NAME is a module of this folder; `python -m benchmarks NAME --help` says what it measures.
"""

import sys
from importlib import import_module
from pathlib import Path

from scratchvae.errors import InputError

parts = {"arguments", "few_labels", "harness", "jobs", "rows", "worker"}  # of others
names = sorted({path.stem for path in Path(__file__).parent.glob("[!_]*.py")} - parts)
name, *arguments = sys.argv[1:] or [None]
if name not in names:
    print(f"{__doc__}\n{', '.join(names)}")
    sys.exit(0 if name in ("-h", "--help") else 2)
try:
    import_module(f"benchmarks.{name}").main(arguments)
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
