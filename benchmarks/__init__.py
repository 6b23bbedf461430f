"""Benchmarks whose tables show ratios within one interleaved run."""
