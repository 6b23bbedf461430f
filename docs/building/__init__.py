"""What the documentation site is generated from: docstrings of the package and of the examples."""
