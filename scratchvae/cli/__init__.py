"""The command line: train, evaluate, sample, complete, impute, encode, export, plot, runs, check, data."""

from scratchvae.cli.main import main

__all__ = ["main"]
