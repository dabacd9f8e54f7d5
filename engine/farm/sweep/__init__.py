"""A job file and what it expands to: `job`, `axes` (values of a sweep), `items`, `naming` (names of pictures)."""
