"""Models: file formats and headers, the hub, denoisers and what they predict, autoencoders, previews of latents."""
