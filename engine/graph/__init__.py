"""What a graph file says, before any node type is looked up: `graph` (values), `document` (reading and writing)."""
