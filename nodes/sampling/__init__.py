"""Sampling: the table of samplers, the loop and its steppers, and the guided denoiser that they ask."""
