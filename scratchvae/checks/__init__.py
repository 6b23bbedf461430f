"""The checks that users run by `scratchvae check`, and that the tests run: gradients, identities and exact models."""
