"""What is done to pixels: resampling, geometry, compositing, colours, masks, edges. Tensors in, tensors out; no nodes.

Pixels are `[batch, height, width, channel]` in 0..1 in float32, and stay so: nothing is rounded to 8 bits on the way.
Masks are pixels of one channel. Where a fourth channel is alpha, filters weight colours by it. Importing a module of
this room imports no torch. Read next: `weft.nodes.pictures.fitting`, then `resampling`.
"""
