"""What must hold, as data and functions: the gradient table and the identities, for the tests and for users."""
