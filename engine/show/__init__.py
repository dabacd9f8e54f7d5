"""Graphs and results to look at: `draw` (pictures and trees), `notebook`, `json_schema` (for editors)."""
