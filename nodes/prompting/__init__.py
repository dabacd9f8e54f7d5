"""Prompts: what their text says, the text encoders that read them, and embeddings."""
