"""The codes of problems of these nodes, in addition to those of the engine (`weft.engine.error_codes`).

A code keeps its meaning from version to version; the wording of messages does not. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    # files of models
    "unknown-model": "The folders of models, the hub's cache and the builtin models have none of this name.",
    "not-downloaded": "The hub's cache does not have the model; `weft models pull` fetches it.",
    "hub-refused": "The hub does not give the model: it has none of this id, or it cannot be reached.",
    "unknown-family": "The files are a checkpoint of no family that Weft loads.",
    "unknown-variant": "The model has no weights of this variant.",
    "pickle-refused": "The file is a pickle, which can run code when it is loaded.",
    "damaged-file": "A file is cut off, or its content cannot be read or does not fit the model.",
    "missing-weights": "Weights that the model needs are in none of its files.",
    "unsupported-network": "The denoiser reads something in addition to latents and prompts that no node gives it.",
    "network-failed": "A network cannot be run on what it was given.",
    "unsupported-weights": "The weights are in a format that is not read.",
    "unread-tensors": "A file has tensors that nothing reads; the model is loaded without them.",
    "unread-configuration": "A configuration has entries that nothing reads.",
    "unread-component": "A folder has a component that nothing loads.",
    "malformed-preview": "The file of a model's preview colours does not hold what it must.",
    "no-tokenizer": "A text model comes without the tokenizer that it needs.",
    "wrong-tokenizer": "The tokenizer is not the model's.",
    "wrong-text-models": "Text models, or those of an embedding, are not those that the model encodes prompts with.",
    "missing-package": "The node needs a Python package that is not installed.",
    # what goes together
    "wrong-channels": "What is given has another number of channels than what reads it.",
    "wrong-prompt": "The prompt lacks a part that the model reads; another family's text encoder made it.",
    "wrong-prediction": "Models that are merged predict different things.",
    "wrong-guide": "The guide does not fit the model or another guide.",
    "wrong-control-net": "The ControlNet was made for another model.",
    "wrong-lora": "The LoRA changes modules that the model does not have, or of other sizes.",
    "wrong-adapter": "The adapter was made for a model of another structure.",
    "unsupported-by-model": "The model does not have what the node uses or changes.",
    "unknown-prediction": "The configuration of the model's scheduler names a prediction that Weft does not know.",
    "malformed-blocks": "The text that gives numbers to blocks of a network is not of the form that it must have.",
    "unknown-layer": "The network has no part of this name with what the node changes.",
    "unknown-class": "The model has no class of this name or number.",
    "sampler-cannot-follow": "The sampler cannot follow what the model predicts, or the steps that it asks for.",
    "schedule-cannot-follow": "The sampler cannot follow the schedule.",
    "unsupported-by-sampler": "The sampler does not support what an input asks of it: sigmas, rising levels, `eta`.",
    "needs-sigmas": "The sampler takes its steps from `sigmas` only.",
    "too-many-steps": "The model's schedule has fewer steps than are asked for.",
    "too-few-steps": "The sampler needs more steps of the model's schedule than are asked for.",
    "wrong-steps": "The model's schedule cannot be cut into so many steps.",
    "wrong-levels": "Noise levels do not fall or rise throughout, or lie outside what the model has.",
    "conflicting-inputs": "Two inputs set the same thing.",
    "unused-input": "An input has no effect together with the values of others.",
    "empty-interval": "The end of a range of steps does not lie after its start.",
    # prompts
    "empty-list": "A list that must have an element has none.",
    "several-prompts": "The node takes a single prompt, and was given combined ones.",
    "no-prompt": "No prompt acts in a part of the run.",
    "too-long": "A prompt or an embedding has more tokens than the text model reads, or an embedding has none.",
    "malformed-word": "The word of an embedding cannot be found in a prompt.",
    "word-not-found": "The prompt does not have the word.",
    "word-taken": "The word has another embedding.",
    "unknown-placeholder": "A placeholder of a template stands for none of the values.",
    # pictures, masks, latents, numbers
    "size-mismatch": "Pictures, masks, latents or prompts that go together differ in size.",
    "unwritable-picture": "The format cannot hold a picture of this size.",
    "wrong-size": "Sides or a number of frames are not multiples of what the model takes.",
    "unusual-scale": "Guidance has a scale below 1, at which diffusers turns it off.",
    "unusual-size": "Pictures have far fewer or far more pixels than those that the model was trained on.",
    "batch-mismatch": "A list or a batch has neither one element nor one for each item of another.",
    "empty-mask": "A mask that must be above 0 somewhere is 0 everywhere.",
    "empty-latent": "The latent is only a size, without samples.",
    "empty-folder": "A folder has no picture.",
    "unknown-levels": "The levels of a picture have no range that is known.",
    "unusable-profile": "The colour profile of a picture cannot be used; its colours are taken as sRGB.",
    "rounded-levels": "Levels of 16 bits are rounded to 8, as a colour profile is applied to them.",
    "unknown-colour": "A text is no colour.",
    "no-alpha": "The picture has no alpha channel.",
    "not-finite": "Pixels, latents, a mask or an encoded prompt have elements that are no finite numbers.",
    "wrong-tensor": "A tensor of a value is not of the shape, the type or on the device that the value needs.",
    "division-by-zero": "A number is divided by 0.",
}
"""What each code means."""
