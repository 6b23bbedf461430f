"""What is timed: a file for each kind of work, which says in plain code what every library computes."""
