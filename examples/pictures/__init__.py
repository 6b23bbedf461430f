"""The pictures that belong to one or two examples; those of every model are in `scratchvae.plotting`."""
