"""A graph for each family, and what nodes may change in it: the table of `test_every_node`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from weft.nodes import (
    AddModels,
    AddNoise,
    ApplyControlNet,
    ApplyMotionAdapter,
    AveragePrompts,
    CFGGuide,
    CombinePrompts,
    CompositeLatents,
    ConcatPrompts,
    ControlGuide,
    CropLatent,
    DensePredictionGuide,
    DrawNoise,
    EditGuide,
    EmptyLatent,
    EmptyLayeredLatent,
    EmptyVideoLatent,
    EncodeEditPrompt,
    EncodeImage,
    Framing,
    FreeU,
    GroundPrompt,
    ImageToMask,
    ImageToVideoGuide,
    InpaintGuide,
    KSampler,
    LoadCheckpoint,
    LoadControlNet,
    LoadDiffusionModel,
    LoadImage,
    LoadImageEncoder,
    MakeLatent,
    MakeSigmas,
    MakeVideo,
    MergeModels,
    MergeTextEncoders,
    MergeVAEs,
    MiddlePromptGuide,
    MotionGuide,
    Optimize,
    OptimizeVAE,
    PerturbedAttention,
    ProjectedGuidance,
    PromptArea,
    PromptMask,
    PromptSteps,
    PromptWindow,
    PromptWindowShare,
    ReferenceGuide,
    ReferenceLatentGuide,
    RotateLatent,
    ScaleImageToModel,
    ScaleLatent,
    SetNoiseMask,
    SplitLayers,
    SwitchGuide,
    TextEncode,
    TrainControlNet,
    TrainLoRA,
    VAEDecode,
    VAEDecodeVideo,
    VAEEncode,
    VAEEncodeVideo,
    ZeroPrompt,
)

Lead = Callable[[Any, "Scene"], Any]


def plain(guide: Any, scene: Scene) -> Any:
    return guide


def inpainting(guide: Any, scene: Scene) -> Any:
    return InpaintGuide(guide, scene.vae, scene.picture, scene.mask)


def editing(guide: Any, scene: Scene) -> Any:
    return EditGuide(guide, scene.vae, scene.picture)


def controlling(guide: Any, scene: Scene) -> Any:
    return ControlGuide(guide, scene.vae, scene.picture)


def referring(guide: Any, scene: Scene) -> Any:
    return ReferenceGuide(guide, scene.vae, scene.picture)


def mapping(guide: Any, scene: Scene) -> Any:
    return DensePredictionGuide(guide, VAEEncode(scene.vae, scene.picture))


def beginning(encoder: str = "", *, ends: bool = False) -> Lead:
    """A clip begins with a picture, and perhaps ends with one, which an image encoder of a checkpoint sees too."""

    def lead(guide: Any, scene: Scene) -> Any:
        last = LoadImage("stripes.png") if ends else None
        seen = [scene.picture, last] if last is not None else scene.picture
        embedding = EncodeImage(LoadImageEncoder(encoder), seen) if encoder else None
        return ImageToVideoGuide(guide, scene.vae, scene.size, scene.picture, last, embedding)

    return lead


def moving(guide: Any, scene: Scene) -> Any:
    embedding = EncodeImage(LoadImageEncoder("svd"), scene.picture, whole=True)
    return MotionGuide(guide, scene.vae, scene.size, scene.picture, embedding)


def switching(guide: Any, scene: Scene) -> Any:
    model = LoadDiffusionModel(f"{scene.base.source}/transformer_2")
    return SwitchGuide(guide, CFGGuide(model, scene.positive, scene.negative), boundary=0.9)


@dataclass(frozen=True)
class Base:
    """How a checkpoint is sampled.

    Args:
        frames: of its clips; 0 for models of pictures.
        side: of its pictures, in pixels.
        layers: into which it divides a picture; 0 for others.
        lead: the guide that it needs besides CFGGuide.
        motion: the motion adapter that it has.
        steps: in which it is sampled.
    """

    source: str
    frames: int = 0
    side: int = 64
    text: str = "a red house"
    layers: int = 0
    lead: Lead = plain
    motion: str = ""
    steps: int = 2


BASES: Mapping[str, Base] = {
    **{name: Base(name) for name in ("epsilon", "distilled", "sd2", "sdxl", "sdxl-refiner", "tiny-vae", "sd3", "sd35")},
    **{name: Base(name) for name in ("flux-dev", "flux-schnell", "z-image", "qwen-image", "chroma", "sana")},
    **{name: Base(name) for name in ("sana-sprint", "lumina2", "hidream", "flux2", "flux2-klein", "pixart")},
    "motion": Base("epsilon", frames=4, motion="motion"),
    "pixart-alpha": Base("pixart-alpha"),
    "dit": Base("dit", text="207"),
    "ddpm": Base("ddpm", side=32, text=""),
    "ddpm-grey": Base("ddpm-grey", side=32, text=""),
    "consistency-classes": Base("consistency-classes", side=32, text="7"),
    **{name: Base(name, lead=inpainting) for name in ("inpaint", "sd2-inpaint", "sdxl-inpaint", "flux-fill")},
    "edit": Base("edit", lead=editing),
    "flux-canny": Base("flux-canny", lead=controlling),
    "lotus": Base("lotus", text="", lead=mapping, steps=1),
    "qwen-edit": Base("qwen-edit", lead=referring),
    "qwen-layered": Base("qwen-layered", layers=2, lead=referring),
    **{name: Base(name, frames=5) for name in ("wan", "wan-5b", "hunyuan-video")},
    "wan-experts": Base("wan-experts", frames=5, lead=switching),
    **{name: Base(name, frames=5, lead=beginning(name)) for name in ("wan-pictures", "hunyuan-video-pictures")},
    "wan-ends": Base("wan-ends", frames=5, lead=beginning("wan-ends", ends=True)),
    "wan-5b-pictures": Base("wan-5b-pictures", frames=5, lead=beginning()),
    **{
        name: Base(name, frames=9)
        for name in ("cogvideox", "cogvideox-turned", "cogvideox-patched", "ltx", "ltx-timed")
    },
    **{f"{name}-pictures": Base(f"{name}-pictures", frames=9, lead=beginning()) for name in ("cogvideox",)},
    "svd": Base("svd", frames=4, text="", lead=moving),
}


@dataclass
class Scene:
    """The nodes of a graph, in which some are exchanged."""

    base: Base
    loaded: Any
    model: Any
    positive: Any
    negative: Any
    size: Any
    picture: Any
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, base: Base) -> Self:
        loaded: Any = LoadCheckpoint(base.source)
        model = ApplyMotionAdapter(loaded.model, base.motion) if base.motion else loaded.model
        positive, negative = (TextEncode(loaded.text_encoder, base.text) for _ in range(2))
        return cls(base, loaded, model, positive, negative, cls.empty(base), LoadImage("ramp.png"))

    @staticmethod
    def empty(base: Base, batch: int = 1) -> Any:
        if base.layers:
            return EmptyLayeredLatent(base.side, base.side, base.layers, batch)
        if base.frames:
            return EmptyVideoLatent(base.side, base.side, base.frames, batch)
        return EmptyLatent(base.side, base.side, batch)

    @property
    def vae(self) -> Any:
        return self.loaded.vae

    @property
    def mask(self) -> Any:
        return ImageToMask(LoadImage("stripes.png"))

    @property
    def other(self) -> Any:
        """Another prompt."""
        return TextEncode(self.loaded.text_encoder, self.base.text or "a lake")

    @property
    def known(self) -> Any:
        """Latents of a picture, or of a clip of it."""
        if self.base.frames:
            return VAEEncodeVideo(self.vae, MakeVideo([self.picture] * self.base.frames))
        return VAEEncode(self.vae, self.picture)

    def guide(self, model: Any = None, positive: Any = None, **options: Any) -> Any:
        guide = CFGGuide(model or self.model, positive or self.positive, self.negative, **{"scale": 3.0, **options})
        return self.base.lead(guide, self)

    def sampled(self, guide: Any = None, latent: Any = None, **options: Any) -> Any:
        given = {"seed": 1, "steps": self.base.steps, "sampler": "model", **options}
        return KSampler(guide or self.guide(), latent or self.size, **given)

    def shown(self, latent: Any, **options: Any) -> Any:
        """Decoded."""
        latent = SplitLayers(latent) if self.base.layers else latent
        kind: Any = VAEDecodeVideo if self.base.frames else VAEDecode
        return kind(self.vae, latent, **options)


Change = Callable[[Scene], Any]


def of_model(change: Callable[[Any], Any], **options: Any) -> Change:
    return lambda scene: scene.shown(scene.sampled(scene.guide(change(scene.model)), **options))


def of_prompt(change: Callable[[Any, Scene], Any]) -> Change:
    return lambda scene: scene.shown(scene.sampled(scene.guide(positive=change(scene.positive, scene))))


def of_guide(change: Lead, **options: Any) -> Change:
    return lambda scene: scene.shown(scene.sampled(change(scene.guide(**options), scene)))


def of_latent(change: Callable[[Scene], Any], **options: Any) -> Change:
    return lambda scene: scene.shown(scene.sampled(latent=change(scene), **options))


def after(change: Callable[[Any, Scene], Any], **options: Any) -> Change:
    return lambda scene: scene.shown(change(scene.sampled(), scene), **options)


def controlled(scene: Scene, name: str) -> Any:
    return ApplyControlNet(scene.positive, None, LoadControlNet(name), LoadImage("stripes.png"), scene.vae).positive


def noised(latent: Any, scene: Scene) -> Any:
    return AddNoise(scene.model, latent, DrawNoise(scene.model, latent), steps=10, step=5)


def enlarged(latent: Any, scene: Scene) -> Any:
    return scene.sampled(latent=ScaleLatent(latent, factor=2.0), denoise=0.5)


def grounded(prompt: Any, scene: Scene) -> Any:
    return GroundPrompt(prompt, None, scene.loaded.text_encoder, ["a fox"], [[0.1, 0.1, 0.6, 0.6]]).positive


CHANGES: Mapping[str, Change] = {
    "nothing": after(lambda latent, scene: latent),
    "two at once": of_latent(lambda scene: scene.empty(scene.base, 2)),
    "channels last": of_model(lambda model: Optimize(model, channels_last=True)),
    "calls apart": of_model(lambda model: Optimize(model, separate=True)),
    "fused projections": of_model(lambda model: Optimize(model, fuse=True)),
    "sliced attention": of_model(lambda model: Optimize(model, attention="sliced")),
    "the kernel math": of_model(lambda model: Optimize(model, attention="math")),
    "extrapolated steps": of_model(lambda model: Optimize(model, cache="taylor_seer", warm_up=1), steps=4),
    "skipped blocks": of_model(lambda model: Optimize(model, cache="first_block", threshold=1.0), steps=4),
    "FreeU": of_model(lambda model: FreeU(model)),
    "FreeU by width": of_model(lambda model: FreeU(model, by="width and mean")),
    "a merged model": of_model(lambda model: MergeModels(model, model)),
    "an added model": of_model(lambda model: AddModels(model, model, model)),
    "an area": of_prompt(
        lambda prompt, scene: CombinePrompts([PromptArea(prompt, width=0.5, height=1.0), scene.other])
    ),
    "a mask": of_prompt(lambda prompt, scene: CombinePrompts([PromptMask(prompt, scene.mask), scene.other])),
    "a part of the steps": of_prompt(lambda prompt, scene: CombinePrompts([PromptSteps(prompt, end=0.5), scene.other])),
    "a prompt in a window": of_prompt(
        lambda prompt, scene: CombinePrompts([PromptWindow(prompt, width=24, height=24, left=8), scene.other])
    ),
    "a prompt in a share": of_prompt(
        lambda prompt, scene: CombinePrompts([PromptWindowShare(prompt, width=0.3, height=0.6), scene.other])
    ),
    "zeros": of_prompt(lambda prompt, scene: ZeroPrompt(prompt)),
    "an average": of_prompt(lambda prompt, scene: AveragePrompts(prompt, scene.other)),
    "prompts in a row": of_prompt(lambda prompt, scene: ConcatPrompts([prompt, scene.other])),
    "framing": of_prompt(lambda prompt, scene: Framing(prompt, width=128, height=64)),
    "objects": of_prompt(grounded),
    "pictures in the prompt": of_prompt(
        lambda prompt, scene: EncodeEditPrompt(scene.loaded.text_encoder, "make it winter", scene.picture)
    ),
    "a ControlNet": of_prompt(lambda prompt, scene: controlled(scene, "edges")),
    "PAG": of_guide(lambda guide, scene: PerturbedAttention(guide)),
    "PAG alone": of_guide(lambda guide, scene: PerturbedAttention(guide), scale=1.0),
    "APG": of_guide(lambda guide, scene: ProjectedGuidance(guide)),
    "a middle prompt": of_guide(lambda guide, scene: MiddlePromptGuide(guide, scene.other)),
    "another guide later": of_guide(lambda guide, scene: SwitchGuide(guide, scene.guide(scale=1.0), boundary=0.9)),
    "a plain guide later": of_guide(
        lambda guide, scene: SwitchGuide(guide, CFGGuide(scene.model, scene.positive, scale=1.0), boundary=0.9)
    ),
    "rescaled guidance": of_guide(plain, rescale=0.7),
    "a true scale": of_guide(plain, true_scale=3.0),
    "a mask and a picture": of_guide(inpainting),
    "a picture to edit": of_guide(editing),
    "a control picture": of_guide(controlling),
    "a picture to refer to": of_guide(referring),
    "latents to refer to": of_guide(lambda guide, scene: ReferenceLatentGuide(guide, scene.known)),
    "a picture to map": of_guide(mapping),
    "a first picture": of_guide(beginning()),
    "a picture in motion": of_guide(moving),
    "given latents": of_latent(lambda scene: scene.known, denoise=0.5),
    "given latents and a mask": of_latent(lambda scene: SetNoiseMask(scene.known, scene.mask)),
    "a differential mask": of_latent(lambda scene: SetNoiseMask(scene.known, scene.mask, mode="differential")),
    "made latents": of_latent(lambda scene: MakeLatent([0.1] * 256, channels=4, width=64, height=64)),
    "a clip": of_latent(lambda scene: EmptyVideoLatent(64, 64, 5)),
    "layers": of_latent(lambda scene: EmptyLayeredLatent(64, 64, 2)),
    "another size": of_latent(lambda scene: EmptyLatent(96, 64)),
    "drawn noise": lambda scene: scene.shown(scene.sampled(noise=DrawNoise(scene.model, scene.size, seed=5))),
    "sigmas": lambda scene: scene.shown(
        KSampler(scene.guide(), scene.size, MakeSigmas(scene.model, scene.size, steps=2), sampler="euler")
    ),
    "larger latents": after(enlarged),
    "noised latents": after(noised),
    "rotated latents": after(lambda latent, scene: RotateLatent(latent)),
    "cut latents": after(lambda latent, scene: CropLatent(latent, width=32, height=32)),
    "latents over others": after(lambda latent, scene: CompositeLatents(latent, latent, scene.mask, x=8, y=8)),
    "tiles": after(lambda latent, scene: ScaleLatent(latent, width=320, height=64), tile=256),
    "a VAE with channels last": lambda scene: decoded(scene, OptimizeVAE(scene.vae)),
    "a merged VAE": lambda scene: decoded(scene, MergeVAEs(scene.vae, scene.vae)),
    "an encoded clip": lambda scene: VAEDecodeVideo(
        scene.vae, VAEEncodeVideo(scene.vae, MakeVideo([scene.picture] * 9))
    ),
    "merged text encoders": lambda scene: TextEncode(
        MergeTextEncoders(scene.loaded.text_encoder, scene.loaded.text_encoder), scene.base.text
    ),
    "a multistep sampler": of_latent(lambda scene: scene.size, sampler="dpmpp_2m"),
    "a trained ControlNet": lambda scene: (
        TrainControlNet(
            *(scene.model, scene.loaded.text_encoder, scene.vae),
            *([scene.picture], [scene.picture], [scene.base.text]),
            steps=1,
            resolution=64,
        ).control_net
    ),
    "a trained LoRA": lambda scene: trained(scene),
    "a LoRA trained with less memory": lambda scene: trained(
        scene, train_text_encoder=bool(scene.base.text), gradient_checkpointing=True
    ),
    "a picture for the model": lambda scene: ScaleImageToModel(scene.picture, scene.model),
}


def trained(scene: Scene, **options: Any) -> Any:
    """A LoRA that was trained for a step."""
    given = {"steps": 1, "rank": 2, "resolution": 64, "sample_every": 0, **options}
    parts = (scene.model, scene.loaded.text_encoder, scene.vae)
    return TrainLoRA(*parts, [scene.picture], [scene.base.text], **given).lora


def decoded(scene: Scene, vae: Any) -> Any:
    return VAEDecode(vae, VAEEncode(vae, scene.picture))
