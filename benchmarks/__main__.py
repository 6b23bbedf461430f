"""python -m benchmarks [NAME] [options]

NAME: engine, step, semisupervised_step, convolution, mnist, iwae, manifold, parity or reproduce. Without one: engine
and step.
"""

import sys

from benchmarks import convolution, engine, iwae, manifold_quality, mnist, parity, reproduce, semisupervised_step, step

BENCHMARKS = {
    "engine": engine,
    "step": step,
    "semisupervised_step": semisupervised_step,
    "convolution": convolution,
    "mnist": mnist,
    "iwae": iwae,
    "manifold": manifold_quality,
    "parity": parity,
    "reproduce": reproduce,
}

name, *arguments = sys.argv[1:] or [None]
if name is not None and name not in BENCHMARKS:
    print(__doc__)
    sys.exit(0 if name in ("-h", "--help") else 2)
for benchmark in [engine, step] if name is None else [BENCHMARKS[name]]:
    benchmark.main(arguments)
