"""Honest tables: ratios within one interleaved run."""
