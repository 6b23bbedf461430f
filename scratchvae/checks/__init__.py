"""`scratchvae check` and the tests run these checks of gradients, identities and exact models."""
