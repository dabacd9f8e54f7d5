"""Fine-tuning: what a network learns from pictures with captions, and the loop that changes weights.

    objective           noise, timesteps, target and weight of each picture: the loss of a paper
    examples            pictures as latents and captions as prompts, in batches of one size
    trainable_lora      the low-rank layers that are trained, as a patch of a model
    training_loop       steps of an optimiser, with checkpoints: one loop for everything that is trained
    lora_writing        a file of what was trained, with what made it

Everything that is drawn at random is drawn by generators of the seed and the number of the step, so that a training
that was stopped goes on as if it had not been.
"""
