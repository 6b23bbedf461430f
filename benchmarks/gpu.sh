#!/usr/bin/env bash
# On a machine with an NVIDIA GPU, in less than ten minutes: whether every model runs there, agrees with the CPU, and how fast it is.
# usage: benchmarks/gpu.sh [options of `python3 -m benchmarks first_contact`]      --device cpu --quick is a rehearsal without a GPU
# It leaves summary.json, summary.md and log.txt in $OUT, or in benchmarks/results/gpu. Nothing is installed or downloaded.
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-python3}" -m benchmarks first_contact --out "${OUT:-benchmarks/results/gpu}" "$@"
