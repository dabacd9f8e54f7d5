"""What is wrong with a graph, before anything runs: `checker` applies passes and rules to a `draft`."""
