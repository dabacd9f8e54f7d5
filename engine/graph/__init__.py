"""Graphs before any node type is looked up: `graph` (values), `document` (files), `traversal` (walks)."""
