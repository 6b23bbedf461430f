#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: the test suite over CuPy, and CPU against GPU over 20 steps. Needs scratchvae[gpu,test].
set -euo pipefail
cd "$(dirname "$0")/.."
python -c 'import cupy; print(cupy.cuda.runtime.getDeviceProperties(0)["name"].decode(), "CuPy", cupy.__version__)'
python -m pytest
python -m benchmarks parity
