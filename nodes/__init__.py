"""Weft's node library: what a diffusion pipeline is built from.

    with Graph(title="A landscape") as graph:
        checkpoint = LoadCheckpoint("builtin:landscapes")
        prompt = TextEncode(checkpoint.text_encoder, "a snowy mountain at sunset")
        latent = KSampler(CFGGuide(checkpoint.model, prompt, scale=5.0), EmptyLatent(128, 128), seed=42)
        SaveImage(VAEDecode(checkpoint.vae, latent), name="landscape")

Nodes: `loaders`, `text`, `conditioning`, `control`, `edges`, `guidance`, `guiders`, `inpaint`, `latent`, `sampler`,
`batch`, `sigmas`, `image`, `grid`, `primitives`. Below them: `values` (what links carry), `prompts` (what parentheses
say), `samplers` and `scheduling` (the table of samplers and schedules, and what a model can follow), `fitting` (what is
told before a run), `stepper` and `denoiser` (the sampling loop and what it asks), `blending` and `perturbing` (what
becomes of several predictions), `sigma_samplers` and `sigma_stepper` (the same over lists of sigmas), `preview` (what
latents look like), `families` (how each family of models is recognised, built and called), `families.sources` (what
names weights, and how it is found), `recipe_loaders` (how it is loaded), `modules` and `readers` (what they
are built into), `embeddings` (words that stand for vectors).

Importing this package imports no torch: heavy imports happen in the bodies of nodes.
"""

from __future__ import annotations

from weft.nodes.library import recipe_loaders as _recipe_loaders  # noqa: F401  (importing it registers them)
from weft.nodes.library.conditioning import (
    AveragePrompts,
    CombinePrompts,
    ConcatPrompts,
    PromptArea,
    PromptMask,
    PromptSteps,
)
from weft.nodes.library.control import ApplyControlNet, Controlled
from weft.nodes.library.edges import FindEdges
from weft.nodes.library.grid import ImageGrid
from weft.nodes.library.guidance import CFGGuide
from weft.nodes.library.guiders import PerturbedAttention, ProjectedGuidance
from weft.nodes.library.image import LoadImage, SaveImage
from weft.nodes.library.inpaint import EditGuide, ImageToMask, InpaintGuide
from weft.nodes.library.latent import EmptyLatent, VAEDecode, VAEEncode
from weft.nodes.library.loaders import (
    Checkpoint,
    LoadCheckpoint,
    LoadControlNet,
    LoadDiffusionModel,
    LoadEmbedding,
    LoadTextEncoder,
    LoadVAE,
)
from weft.nodes.library.primitives import (
    Boolean,
    FormatText,
    Integer,
    IntegerMath,
    JoinText,
    Number,
    NumberMath,
    Seeds,
    Text,
)
from weft.nodes.library.sampler import KSampler
from weft.nodes.library.sampler_batch import KSamplerBatch
from weft.nodes.library.sigmas import FlipSigmas, ListSigmas, MakeSigmas, PlotSigmas, SigmaParts, Sigmas, SplitSigmas
from weft.nodes.library.text import Framing, TextEncode
from weft.nodes.sampling.compatibility import guide_fits
from weft.nodes.sampling.samplers import SamplerName, ScheduleName
from weft.nodes.sampling.traits import GuideTraits, LatentTraits
from weft.nodes.values import (
    VAE,
    Conditioning,
    Control,
    ControlNet,
    Embedding,
    Guide,
    Image,
    Latent,
    Mask,
    Model,
    Perturbation,
    Projection,
    Prompt,
    TextEncoder,
)

__all__ = [
    "VAE",
    "ApplyControlNet",
    "AveragePrompts",
    "Boolean",
    "CFGGuide",
    "Checkpoint",
    "CombinePrompts",
    "ConcatPrompts",
    "Conditioning",
    "Control",
    "ControlNet",
    "Controlled",
    "EditGuide",
    "Embedding",
    "EmptyLatent",
    "FindEdges",
    "FlipSigmas",
    "FormatText",
    "Framing",
    "Guide",
    "GuideTraits",
    "Image",
    "ImageGrid",
    "ImageToMask",
    "InpaintGuide",
    "Integer",
    "IntegerMath",
    "JoinText",
    "KSampler",
    "KSamplerBatch",
    "Latent",
    "LatentTraits",
    "ListSigmas",
    "LoadCheckpoint",
    "LoadControlNet",
    "LoadDiffusionModel",
    "LoadEmbedding",
    "LoadImage",
    "LoadTextEncoder",
    "LoadVAE",
    "MakeSigmas",
    "Mask",
    "Model",
    "Number",
    "NumberMath",
    "Perturbation",
    "PerturbedAttention",
    "PlotSigmas",
    "ProjectedGuidance",
    "Projection",
    "Prompt",
    "PromptArea",
    "PromptMask",
    "PromptSteps",
    "SamplerName",
    "SaveImage",
    "ScheduleName",
    "Seeds",
    "SigmaParts",
    "Sigmas",
    "SplitSigmas",
    "Text",
    "TextEncode",
    "TextEncoder",
    "VAEDecode",
    "VAEEncode",
    "guide_fits",
]
