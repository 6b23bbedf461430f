"""The command line: train, evaluate, sample, plot, check, data."""

from scratchvae.cli.main import main

__all__ = ["main"]
