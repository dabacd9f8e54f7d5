"""Sampling: the table of samplers and schedules, runs, guidance, and the checks of these before a run."""
