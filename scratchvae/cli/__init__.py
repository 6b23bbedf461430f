"""The command line: train, evaluate, sample, explore, complete, impute, encode, export, plot, runs, check, data."""

from scratchvae.cli.main import main

__all__ = ["main"]
