"""What a node is: `node` (node types), `context` (what a running node may ask), `call` (a node of a checked graph)."""
