"""The work that is timed: each file has one kind of work, in plain code for every library."""
