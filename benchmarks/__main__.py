"""python -m benchmarks [NAME] [options]

Without a name: engine and step. A name is that of a module in this folder, which says what it measures.
"""

import sys
from importlib import import_module
from pathlib import Path

from scratchvae.errors import InputError

names = sorted({path.stem for path in Path(__file__).parent.glob("[!_]*.py")} - {"jobs", "rows", "timing"})
name, *arguments = sys.argv[1:] or [None]
if name is not None and name not in names:
    print(f"{__doc__}\n{', '.join(names)}")
    sys.exit(0 if name in ("-h", "--help") else 2)
try:
    for benchmark in ["engine", "step"] if name is None else [name]:
        import_module(f"benchmarks.{benchmark}").main(arguments)
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
