"""Model files: formats and headers, where models are found, and the networks that they load into."""
