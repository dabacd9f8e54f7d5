"""Node types with `id`, for type checkers and completion. Written by `weft schema --stub weft.nodes`."""

from typing import Any, Literal

from weft.engine import Artifact
from weft.engine.verdict import SafetyAction, Verdict
from weft.nodes.fine_tuning.training_settings import Optimizer, RateSchedule, TimestepDensity
from weft.nodes.image_prompt_values import (
    FaceEmbedding,
    Grounding,
    ImageEmbedding,
    ImageEncoder,
    ImagePrompt,
    IPAdapter,
    PictureProjection,
    Redux,
    UnCLIP,
)
from weft.nodes.interop.class_tensors import ComfyValue
from weft.nodes.library.adjust import Factor, Level, Reach
from weft.nodes.library.attention import AttentionShown
from weft.nodes.library.captioned_pictures import PicturesWithCaptions
from weft.nodes.library.comparisons import Compared
from weft.nodes.library.composite import Place
from weft.nodes.library.conditioning import Pixels as Pixels3
from weft.nodes.library.conditioning import Share as Share3
from weft.nodes.library.conditioning import Strength as Strength2
from weft.nodes.library.control import Controlled, Kind
from weft.nodes.library.edge_maps import Radius, Threshold
from weft.nodes.library.free_u import Factor as Factor2
from weft.nodes.library.free_u import FeaturesBy
from weft.nodes.library.geometry import Padded, Side
from weft.nodes.library.image_prompts import Pictured
from weft.nodes.library.image_vectors import VectorMode
from weft.nodes.library.inpaint import Channel, Places
from weft.nodes.library.join_images import Direction
from weft.nodes.library.latent import Precision, Tile
from weft.nodes.library.latent import Side as Side3
from weft.nodes.library.latent_geometry import Interpolation, Length, Pixels
from weft.nodes.library.latent_math import Arithmetic
from weft.nodes.library.loaders import Checkpoint, Prediction, Storage, TerminalSNR
from weft.nodes.library.loaders import Noise as Noise2
from weft.nodes.library.lora import Adapted, Fraction, Strength
from weft.nodes.library.mask import Share as Share4
from weft.nodes.library.mask import Side as Side4
from weft.nodes.library.merging import Share
from weft.nodes.library.native_size import ModelFit
from weft.nodes.library.noise_mask import MaskMode
from weft.nodes.library.noise_values import Noise
from weft.nodes.library.optimize import Attention, Cache
from weft.nodes.library.pipelines import PipelineOutput
from weft.nodes.library.primitives import Operation, RealOperation
from weft.nodes.library.redux import Share as Share2
from weft.nodes.library.safety import PromptChecked, SafetyChecked
from weft.nodes.library.sampler_steps import SampledSteps
from weft.nodes.library.scale import ImageExtent, Multiple
from weft.nodes.library.schedule_plot import PlottedSchedule, ScheduleCurve
from weft.nodes.library.set_scores import Distance, KernelDistance
from weft.nodes.library.sigmas import SigmaParts, Sigmas
from weft.nodes.library.stitch import CroppedToMask, CropRegion
from weft.nodes.library.stitch import Side as Side2
from weft.nodes.library.text import Pixels as Pixels2
from weft.nodes.library.text import Weighting
from weft.nodes.library.train_control_net import TrainedControlNet
from weft.nodes.library.train_embedding import TrainedEmbedding
from weft.nodes.library.train_lora import Rate, Steps, TrainedLoRA
from weft.nodes.library.train_lora import Share as Share5
from weft.nodes.library.video import RateMethod
from weft.nodes.lora_values import AddedLoRAs, AppliedLoRA, LoRA
from weft.nodes.media_values import Audio, Video
from weft.nodes.models.part_precisions import PartPrecision
from weft.nodes.picture_files import Format, Rounding
from weft.nodes.picture_model_values import (
    DepthModel,
    ImageClassifier,
    ObjectDetector,
    PoseModel,
    SegmentationModel,
    TextClassifier,
    Upscaler,
)
from weft.nodes.pictures.blending import BlendMode
from weft.nodes.pictures.colours import Matching
from weft.nodes.pictures.drawn_masks import MaskShape
from weft.nodes.pictures.fitting import Anchor, Fit
from weft.nodes.pictures.padding import Fill
from weft.nodes.pictures.resampling import Filter, RotationFilter
from weft.nodes.pictures.smoothing import Blur, Shape
from weft.nodes.pipeline_values import Pipeline, PipelineInputs
from weft.nodes.sampling.comfy_schedules import ComfySchedule
from weft.nodes.sampling.compatibility import guide_fits
from weft.nodes.sampling.sampler_choices import SamplerInput, ScheduleInput
from weft.nodes.sampling.samplers import SamplerName, ScheduleName
from weft.nodes.sampling.sampling_run import GeneratorScope
from weft.nodes.sampling.scheduling import Variance
from weft.nodes.sampling.traits import GuideTraits, LatentTraits, ModelTraits, PromptTraits
from weft.nodes.score_values import AestheticHead, ClipModel, FeatureNetwork, PerceptualNetwork, PictureFeatures, Scored
from weft.nodes.sizes import Size, SizeTraits
from weft.nodes.sound_files import SoundFormat
from weft.nodes.values import (
    VAE,
    Conditioning,
    Control,
    ControlNet,
    Embedding,
    F,
    Forecast,
    Guide,
    Image,
    LanguageSight,
    Latent,
    Mask,
    Model,
    MotionAdapter,
    NoiseMask,
    P,
    Perturbation,
    Projection,
    Prompt,
    TextEncoder,
    TextualInversion,
)
from weft.nodes.video_files import ClipFormat, ClipQuality

__all__ = [
    "FID",
    "KID",
    "VAE",
    "Adapted",
    "AddModels",
    "AddNoise",
    "AddTextEncoders",
    "AddedLoRAs",
    "AdjustColours",
    "AestheticHead",
    "AestheticScore",
    "AppliedLoRA",
    "ApplyControlNet",
    "ApplyFaceID",
    "ApplyHypernetwork",
    "ApplyIPAdapter",
    "ApplyLoRA",
    "ApplyLoRAToModel",
    "ApplyLoRAToPipeline",
    "ApplyMotionAdapter",
    "ApplyReVision",
    "ApplyRedux",
    "ApplyUnCLIP",
    "AttentionShown",
    "Audio",
    "AveragePrompts",
    "BatchImages",
    "BatchLatents",
    "BlendLatents",
    "BlurImage",
    "Boolean",
    "CFGGuide",
    "Checkpoint",
    "ChooseWords",
    "ClipModel",
    "ClipScore",
    "ColourMask",
    "CombineMasks",
    "CombinePrompts",
    "ComfyValue",
    "Compare",
    "Compared",
    "CompositeImages",
    "CompositeLatents",
    "ConcatPrompts",
    "Conditioning",
    "Control",
    "ControlGuide",
    "ControlNet",
    "Controlled",
    "CropImage",
    "CropLatent",
    "CropRegion",
    "CropToAspect",
    "CropToMask",
    "CroppedToMask",
    "DensePredictionGuide",
    "DepthModel",
    "DepthToNormals",
    "Distance",
    "DrawContactStrip",
    "DrawLineArt",
    "DrawNoise",
    "DrawPose",
    "DrawScribble",
    "EditGuide",
    "Embedding",
    "EmptyLatent",
    "EmptyLayeredLatent",
    "EmptyVideoLatent",
    "EncodeEditPrompt",
    "EncodeImage",
    "EncodePipelinePrompt",
    "EstimateDepth",
    "ExtractFeatures",
    "ExtractFolderFeatures",
    "FaceEmbedding",
    "FeatherMask",
    "FeatureNetwork",
    "FindCannyEdges",
    "FindEdges",
    "FindSoftEdges",
    "FlipImage",
    "FlipLatent",
    "FlipSigmas",
    "Forecast",
    "FormatText",
    "Framing",
    "FreeU",
    "GroundPictures",
    "GroundPrompt",
    "Grounding",
    "GrowMask",
    "Guide",
    "GuideTraits",
    "IPAdapter",
    "Image",
    "ImageClassifier",
    "ImageEmbedding",
    "ImageEncoder",
    "ImageExtent",
    "ImageGrid",
    "ImagePrompt",
    "ImageSize",
    "ImageToMask",
    "ImageToVideoGuide",
    "InpaintGuide",
    "Integer",
    "IntegerMath",
    "InvertImage",
    "JoinImages",
    "JoinText",
    "JoinVideos",
    "KSampler",
    "KSamplerAttention",
    "KSamplerBatch",
    "KSamplerSteps",
    "KernelDistance",
    "LanguageSight",
    "Latent",
    "LatentChannels",
    "LatentMath",
    "LatentTraits",
    "LatentValues",
    "ListLatents",
    "ListPictures",
    "ListSigmas",
    "LoRA",
    "LoadAestheticHead",
    "LoadAudio",
    "LoadCaptionedPictures",
    "LoadCheckpoint",
    "LoadClipModel",
    "LoadControlNet",
    "LoadDepthModel",
    "LoadDiffusionModel",
    "LoadEmbedding",
    "LoadFaceEmbedding",
    "LoadFeatureNetwork",
    "LoadIPAdapter",
    "LoadImage",
    "LoadImageClassifier",
    "LoadImageEncoder",
    "LoadLoRA",
    "LoadObjectDetector",
    "LoadPerceptualNetwork",
    "LoadPictureProjection",
    "LoadPipeline",
    "LoadPoseModel",
    "LoadRedux",
    "LoadSegmentationModel",
    "LoadTextClassifier",
    "LoadTextEncoder",
    "LoadUpscaler",
    "LoadVAE",
    "LoadVideo",
    "MakeComfySigmas",
    "MakeFaceEmbedding",
    "MakeFlux2Sigmas",
    "MakeLatent",
    "MakeSigmas",
    "MakeVideo",
    "Mask",
    "MaskObjects",
    "MaskToImage",
    "MatchColours",
    "MergeModels",
    "MergeTextEncoders",
    "MergeVAEs",
    "MiddlePromptGuide",
    "MixNoise",
    "Model",
    "ModelTraits",
    "MotionAdapter",
    "MotionGuide",
    "Noise",
    "NoiseMask",
    "Number",
    "NumberMath",
    "ObjectDetector",
    "Optimize",
    "OptimizeVAE",
    "PadImage",
    "Padded",
    "PerceptualDistance",
    "PerceptualNetwork",
    "Perturbation",
    "PerturbedAttention",
    "PickFromBatch",
    "PictureFeatures",
    "PictureProjection",
    "Pictured",
    "PicturesWithCaptions",
    "Pipeline",
    "PipelineInputs",
    "PipelineOutput",
    "PlotLosses",
    "PlotNoiseSchedule",
    "PlotSigmas",
    "PlottedSchedule",
    "PoseModel",
    "ProjectedGuidance",
    "Projection",
    "Prompt",
    "PromptArea",
    "PromptCheck",
    "PromptChecked",
    "PromptMask",
    "PromptSteps",
    "PromptTraits",
    "PromptWindow",
    "PromptWindowShare",
    "Redux",
    "ReferenceGuide",
    "ReferenceLatentGuide",
    "RepeatLatent",
    "ReverseVideo",
    "RotateImage",
    "RotateLatent",
    "RunPipeline",
    "SafetyCheck",
    "SafetyChecked",
    "SampledSteps",
    "SamplerName",
    "SaveAudio",
    "SaveControlNet",
    "SaveEmbedding",
    "SaveImage",
    "SaveLoRA",
    "SaveVideo",
    "ScaleImage",
    "ScaleImageBy",
    "ScaleImageToKontext",
    "ScaleImageToModel",
    "ScaleImageToPixels",
    "ScaleLatent",
    "ScaleVideo",
    "ScheduleName",
    "Scored",
    "Seeds",
    "SegmentImage",
    "SegmentationModel",
    "SetAlpha",
    "SetAudio",
    "SetFirstSigma",
    "SetFrameRate",
    "SetLevels",
    "SetNoiseMask",
    "SetPipelineInput",
    "ShapeMask",
    "SharpenImage",
    "Sharpness",
    "SigmaParts",
    "Sigmas",
    "Size",
    "SizeTraits",
    "SplitBatch",
    "SplitLayers",
    "SplitSigmas",
    "SplitVideo",
    "StitchImage",
    "SwitchGuide",
    "TakeAudio",
    "TakeLatents",
    "Text",
    "TextClassifier",
    "TextEncode",
    "TextEncoder",
    "TextualInversion",
    "TrainControlNet",
    "TrainEmbedding",
    "TrainLoRA",
    "TrainedControlNet",
    "TrainedEmbedding",
    "TrainedLoRA",
    "TrimAudio",
    "TrimVideo",
    "UnCLIP",
    "UpscaleImage",
    "Upscaler",
    "VAEDecode",
    "VAEDecodeVideo",
    "VAEEncode",
    "VAEEncodeVideo",
    "Video",
    "ZeroPrompt",
    "guide_fits",
]

def FID(features: PictureFeatures, others: PictureFeatures, *, id: str | None = ...) -> Distance: ...
def KID(
    features: PictureFeatures,
    others: PictureFeatures,
    *,
    subsets: int = ...,
    size: int = ...,
    seed: int = ...,
    id: str | None = ...,
) -> KernelDistance: ...
def AddModels(
    model: Model[F],
    other: Model[F],
    minus: Model[F] | None = ...,
    *,
    strength: Share = ...,
    blocks: str = ...,
    id: str | None = ...,
) -> Model[F]: ...
def AddNoise(
    model: Model[F],
    latent: Latent[F],
    noise: Noise[F],
    sigmas: Sigmas[F] | None = ...,
    *,
    timestep: float | None = ...,
    steps: int = ...,
    step: int = ...,
    sampler: SamplerInput = ...,
    schedule: ScheduleInput = ...,
    id: str | None = ...,
) -> Latent[F]: ...
def AddTextEncoders(
    text_encoder: TextEncoder[F],
    other: TextEncoder[F],
    minus: TextEncoder[F] | None = ...,
    *,
    strength: Share = ...,
    blocks: str = ...,
    id: str | None = ...,
) -> TextEncoder[F]: ...
def AdjustColours(
    image: Image,
    *,
    brightness: Factor = ...,
    contrast: Factor = ...,
    saturation: Factor = ...,
    gamma: float = ...,
    hue: float = ...,
    id: str | None = ...,
) -> Image: ...
def AestheticScore(head: AestheticHead, embedding: ImageEmbedding, *, id: str | None = ...) -> Scored: ...
def ApplyControlNet(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    control_net: ControlNet[F],
    image: Image,
    vae: VAE[F] | None = ...,
    mask: Mask | None = ...,
    source: Image | None = ...,
    *,
    strength: float = ...,
    start: float = ...,
    end: float = ...,
    kind: Kind | None = ...,
    id: str | None = ...,
) -> Controlled[F]: ...
def ApplyFaceID(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    ip_adapter: IPAdapter,
    face: FaceEmbedding,
    embedding: ImageEmbedding | None = ...,
    mask: Mask | None = ...,
    *,
    scale: float = ...,
    blocks: str = ...,
    shortcut: bool = ...,
    start: float = ...,
    end: float = ...,
    id: str | None = ...,
) -> Pictured[F]: ...
def ApplyHypernetwork(model: Model[F], source: str, *, strength: float = ..., id: str | None = ...) -> Model[F]: ...
def ApplyIPAdapter(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    ip_adapter: IPAdapter,
    embedding: ImageEmbedding,
    mask: Mask | None = ...,
    *,
    scale: float = ...,
    blocks: str = ...,
    per_item: bool = ...,
    start: float = ...,
    end: float = ...,
    id: str | None = ...,
) -> Pictured[F]: ...
def ApplyLoRA(
    lora: LoRA[F],
    model: Model[F],
    text_encoder: TextEncoder[F],
    *,
    strength: Strength = ...,
    text_encoder_strength: float | None = ...,
    blocks: str = ...,
    start: Fraction = ...,
    end: Fraction = ...,
    id: str | None = ...,
) -> Adapted[F]: ...
def ApplyLoRAToModel(
    lora: LoRA[F],
    model: Model[F],
    *,
    strength: Strength = ...,
    blocks: str = ...,
    start: Fraction = ...,
    end: Fraction = ...,
    id: str | None = ...,
) -> Model[F]: ...
def ApplyLoRAToPipeline(pipeline: Pipeline, lora: LoRA, *, strength: float = ..., id: str | None = ...) -> Pipeline: ...
def ApplyMotionAdapter(
    model: Model[F], source: str, *, variant: str = ..., noise: Noise2 = ..., id: str | None = ...
) -> Model[F]: ...
def ApplyReVision(
    prompt: Conditioning[F],
    embedding: ImageEmbedding,
    *,
    strength: float = ...,
    mode: VectorMode = ...,
    id: str | None = ...,
) -> Conditioning[F]: ...
def ApplyRedux(
    prompt: Conditioning[F],
    redux: Redux,
    embedding: ImageEmbedding,
    *,
    strength: Share2 = ...,
    weights: list[float] | None = ...,
    vector_weights: list[float] | None = ...,
    with_text: bool = ...,
    id: str | None = ...,
) -> Conditioning[F]: ...
def ApplyUnCLIP(
    model: Model[F],
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    embedding: ImageEmbedding,
    *,
    noise_level: int = ...,
    seed: int = ...,
    id: str | None = ...,
) -> Pictured[F]: ...
def AveragePrompts(
    first: Conditioning[F], second: Conditioning[F], *, weight: Share3 = ..., id: str | None = ...
) -> Conditioning[F]: ...
def BatchImages(images: list[P], *, id: str | None = ...) -> P: ...
def BatchLatents(latents: list[Latent[F]], *, id: str | None = ...) -> Latent[F]: ...
def BlendLatents(
    first: Latent[F],
    second: Latent[F],
    *,
    amount: float = ...,
    method: Literal["linear", "spherical"] = ...,
    id: str | None = ...,
) -> Latent[F]: ...
def BlurImage(image: P, radius: float = ..., *, kind: Blur = ..., reach: Reach = ..., id: str | None = ...) -> P: ...
def Boolean(value: bool, *, id: str | None = ...) -> bool: ...
def CFGGuide(
    model: Model[F],
    positive: Conditioning[F],
    negative: Conditioning[F] | None = ...,
    *,
    scale: float = ...,
    rescale: float = ...,
    start: float = ...,
    end: float = ...,
    true_scale: float = ...,
    off_below_1: bool = ...,
    normalise: bool = ...,
    id: str | None = ...,
) -> Guide[F]: ...
def ChooseWords(text: str, seed: int = ..., *, id: str | None = ...) -> str: ...
def ClipScore(
    model: ClipModel, image: Image | list[Image], text: str | list[str], *, id: str | None = ...
) -> Scored: ...
def ColourMask(
    image: Image, colour: str = ..., *, tolerance: float = ..., softness: float = ..., id: str | None = ...
) -> Mask: ...
def CombineMasks(
    mask: Mask,
    other: Mask,
    mode: Literal["union", "intersection", "difference", "exclusion", "product", "average"] = ...,
    *,
    id: str | None = ...,
) -> Mask: ...
def CombinePrompts(prompts: list[Conditioning[F]], *, id: str | None = ...) -> Conditioning[F]: ...
def Compare(image: Image, other: Image, *, id: str | None = ...) -> Compared: ...
def CompositeImages(
    below: Image,
    above: Image,
    mask: Mask | None = ...,
    *,
    left: Place = ...,
    top: Place = ...,
    mode: BlendMode = ...,
    opacity: float = ...,
    id: str | None = ...,
) -> Image: ...
def CompositeLatents(
    background: Latent[F],
    overlay: Latent[F],
    mask: Mask | None = ...,
    *,
    x: int = ...,
    y: int = ...,
    feather: int = ...,
    id: str | None = ...,
) -> Latent[F]: ...
def ConcatPrompts(prompts: list[Conditioning[F]], *, id: str | None = ...) -> Conditioning[F]: ...
def ControlGuide(guide: Guide[F], vae: VAE[F], image: Image, *, id: str | None = ...) -> Guide[F]: ...
def CropImage(
    image: P,
    width: Side = ...,
    height: Side = ...,
    *,
    left: int | None = ...,
    top: int | None = ...,
    multiple: Multiple = ...,
    id: str | None = ...,
) -> P: ...
def CropLatent(
    latent: Latent[F], *, x: Pixels = ..., y: Pixels = ..., width: Length, height: Length, id: str | None = ...
) -> Latent[F]: ...
def CropToAspect(
    image: P,
    across: int = ...,
    down: int = ...,
    *,
    anchor: Anchor = ...,
    multiple: Multiple = ...,
    id: str | None = ...,
) -> P: ...
def CropToMask(
    image: Image,
    mask: Mask,
    width: Side2 = ...,
    height: Side2 = ...,
    *,
    padding: int = ...,
    filter: Filter = ...,
    id: str | None = ...,
) -> CroppedToMask: ...
def DensePredictionGuide(guide: Guide[F], latent: Latent[F], *, id: str | None = ...) -> Guide[F]: ...
def DepthToNormals(depth: Image, *, strength: float = ..., id: str | None = ...) -> Image: ...
def DrawContactStrip(video: Video, *, count: int = ..., columns: int = ..., id: str | None = ...) -> Image: ...
def DrawLineArt(image: Image, radius: Radius = ..., *, id: str | None = ...) -> Image: ...
def DrawNoise(
    model: Model[F],
    latent: Latent[F],
    *,
    seed: int | list[int] = ...,
    generator: GeneratorScope = ...,
    alike: float = ...,
    by_frame: bool | None = ...,
    id: str | None = ...,
) -> Noise[F]: ...
def DrawPose(
    model: PoseModel,
    image: Image,
    detector: ObjectDetector | None = ...,
    *,
    threshold: float = ...,
    id: str | None = ...,
) -> Image: ...
def DrawScribble(image: Image, threshold: float = ..., *, radius: Radius = ..., id: str | None = ...) -> Image: ...
def EditGuide(
    guide: Guide[F], vae: VAE[F], image: Image, *, image_scale: float = ..., id: str | None = ...
) -> Guide[F]: ...
def EmptyLatent(
    width: Side3 = ..., height: Side3 = ..., batch_size: int = ..., *, id: str | None = ...
) -> Latent[Any]: ...
def EmptyLayeredLatent(
    width: Side3 = ..., height: Side3 = ..., layers: int = ..., batch_size: int = ..., *, id: str | None = ...
) -> Latent[Any]: ...
def EmptyVideoLatent(
    width: Side3 = ...,
    height: Side3 = ...,
    frames: int = ...,
    batch_size: int = ...,
    rate: float | None = ...,
    *,
    id: str | None = ...,
) -> Latent[Any]: ...
def EncodeEditPrompt(
    text_encoder: TextEncoder[F], text: str, images: Image | list[Image], *, numbered: bool = ..., id: str | None = ...
) -> Conditioning[F]: ...
def EncodeImage(
    image_encoder: ImageEncoder, image: Image | list[Image], *, whole: bool = ..., id: str | None = ...
) -> ImageEmbedding: ...
def EncodePipelinePrompt(
    pipeline: Pipeline,
    prompt: str | list[str],
    negative_prompt: str | list[str] | None = ...,
    *,
    settings: object = ...,
    id: str | None = ...,
) -> PipelineInputs: ...
def EstimateDepth(model: DepthModel, image: Image, *, invert: bool = ..., id: str | None = ...) -> Image: ...
def ExtractFeatures(
    network: FeatureNetwork, image: Image | list[Image], *, id: str | None = ...
) -> PictureFeatures: ...
def ExtractFolderFeatures(
    network: FeatureNetwork, folder: str, pattern: str = ..., *, id: str | None = ...
) -> PictureFeatures: ...
def FeatherMask(
    mask: Mask, *, left: Side4 = ..., top: Side4 = ..., right: Side4 = ..., bottom: Side4 = ..., id: str | None = ...
) -> Mask: ...
def FindCannyEdges(image: Image, low: Threshold = ..., high: Threshold = ..., *, id: str | None = ...) -> Image: ...
def FindEdges(image: Image, *, threshold: float = ..., id: str | None = ...) -> Image: ...
def FindSoftEdges(image: Image, radius: Radius = ..., *, id: str | None = ...) -> Image: ...
def FlipImage(image: P, direction: Literal["horizontal", "vertical"] = ..., *, id: str | None = ...) -> P: ...
def FlipLatent(
    latent: Latent[F], *, direction: Literal["horizontal", "vertical"] = ..., id: str | None = ...
) -> Latent[F]: ...
def FlipSigmas(sigmas: Sigmas[F], *, least: float = ..., id: str | None = ...) -> Sigmas[F]: ...
def FormatText(template: str, values: list[str | int | float], *, id: str | None = ...) -> str: ...
def Framing(
    prompt: Conditioning[F],
    *,
    width: Pixels2,
    height: Pixels2,
    left: Pixels2 = ...,
    top: Pixels2 = ...,
    id: str | None = ...,
) -> Conditioning[F]: ...
def FreeU(
    model: Model[F],
    *,
    b1: Factor2 = ...,
    b2: Factor2 = ...,
    s1: Factor2 = ...,
    s2: Factor2 = ...,
    by: FeaturesBy = ...,
    id: str | None = ...,
) -> Model[F]: ...
def GroundPictures(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    projection: PictureProjection,
    embedding: ImageEmbedding,
    boxes: list[list[float]],
    text_encoder: TextEncoder[F] | None = ...,
    phrases: list[str] | None = ...,
    *,
    length: float = ...,
    end: float = ...,
    id: str | None = ...,
) -> Pictured[F]: ...
def GroundPrompt(
    positive: Conditioning[F],
    negative: Conditioning[F] | None,
    text_encoder: TextEncoder[F],
    phrases: list[str],
    boxes: list[list[float]],
    *,
    end: float = ...,
    id: str | None = ...,
) -> Pictured[F]: ...
def GrowMask(
    mask: Mask, pixels: int = ..., *, feather: float = ..., shape: Shape = ..., id: str | None = ...
) -> Mask: ...
def ImageGrid(
    images: list[Image], labels: list[str] | None = ..., *, columns: int = ..., id: str | None = ...
) -> Image: ...
def ImageSize(image: P, *, id: str | None = ...) -> ImageExtent: ...
def ImageToMask(image: Image, *, channel: Channel = ..., invert: bool = ..., id: str | None = ...) -> Mask: ...
def ImageToVideoGuide(
    guide: Guide[F],
    vae: VAE[F],
    latent: Latent[F],
    image: Image,
    last: Image | None = ...,
    embedding: ImageEmbedding | None = ...,
    *,
    sample: bool = ...,
    id: str | None = ...,
) -> Guide[F]: ...
def InpaintGuide(
    guide: Guide[F], vae: VAE[F], image: Image, mask: Mask, *, sample: bool = ..., id: str | None = ...
) -> Guide[F]: ...
def Integer(value: int, *, id: str | None = ...) -> int: ...
def IntegerMath(a: int, b: int, operation: Operation = ..., *, id: str | None = ...) -> int: ...
def InvertImage(image: P, *, id: str | None = ...) -> P: ...
def JoinImages(
    images: list[Image],
    direction: Direction = ...,
    *,
    match: bool = ...,
    spacing: int = ...,
    colour: str = ...,
    filter: Filter = ...,
    id: str | None = ...,
) -> Image: ...
def JoinText(texts: list[str], separator: str = ..., *, id: str | None = ...) -> str: ...
def JoinVideos(videos: list[Video], *, crossfade: int = ..., id: str | None = ...) -> Video: ...
def KSampler(
    guide: Guide[F],
    latent: Latent[F],
    sigmas: Sigmas[F] | None = ...,
    noise: Noise[F] | None = ...,
    *,
    seed: int | list[int] = ...,
    steps: int = ...,
    sampler: SamplerInput = ...,
    schedule: ScheduleInput = ...,
    denoise: float = ...,
    eta: float = ...,
    variance: Variance = ...,
    clip: bool | None = ...,
    start_step: int = ...,
    end_step: int | None = ...,
    add_noise: bool = ...,
    keep_noise: bool = ...,
    generator: GeneratorScope = ...,
    id: str | None = ...,
) -> Latent[F]: ...
def KSamplerAttention(
    guide: Guide[F],
    latent: Latent[F],
    text: str,
    words: list[str],
    *,
    seed: int | list[int] = ...,
    steps: int = ...,
    sampler: SamplerInput = ...,
    schedule: ScheduleInput = ...,
    denoise: float = ...,
    start: float = ...,
    end: float = ...,
    id: str | None = ...,
) -> AttentionShown[F]: ...
def KSamplerBatch(given: Any, *, id: str | None = ...) -> list[Any]: ...
def KSamplerSteps(
    guide: Guide[F],
    latent: Latent[F],
    sigmas: Sigmas[F] | None = ...,
    noise: Noise[F] | None = ...,
    *,
    seed: int | list[int] = ...,
    steps: int = ...,
    sampler: SamplerInput = ...,
    schedule: ScheduleInput = ...,
    denoise: float = ...,
    eta: float = ...,
    variance: Variance = ...,
    clip: bool | None = ...,
    start_step: int = ...,
    end_step: int | None = ...,
    add_noise: bool = ...,
    generator: GeneratorScope = ...,
    id: str | None = ...,
) -> SampledSteps[F]: ...
def LatentChannels(latent: Latent, *, id: str | None = ...) -> Image: ...
def LatentMath(
    a: Latent[F], b: Latent[F] | float, operation: Arithmetic = ..., *, id: str | None = ...
) -> Latent[F]: ...
def LatentValues(latent: Latent[Any], *, id: str | None = ...) -> list[float]: ...
def ListLatents(latent: Latent[F], *, id: str | None = ...) -> list[Latent[F]]: ...
def ListPictures(
    folder: str, pattern: str = ..., *, start: int = ..., count: int = ..., id: str | None = ...
) -> list[str]: ...
def ListSigmas(levels: list[float], *, id: str | None = ...) -> Sigmas[Any]: ...
def LoadAestheticHead(source: str, *, id: str | None = ...) -> AestheticHead: ...
def LoadAudio(path: str, *, id: str | None = ...) -> Audio: ...
def LoadCaptionedPictures(
    folder: str, *, prefix: str = ..., resolution: int = ..., id: str | None = ...
) -> PicturesWithCaptions: ...
def LoadCheckpoint(
    source: str,
    *,
    variant: str = ...,
    prediction: Prediction = ...,
    noise: Noise2 = ...,
    terminal_snr: TerminalSNR = ...,
    beta_start: float | None = ...,
    beta_end: float | None = ...,
    model_precision: PartPrecision = ...,
    text_encoder_precision: PartPrecision = ...,
    vae_precision: PartPrecision = ...,
    model_weights: Storage = ...,
    text_encoder_weights: Storage = ...,
    id: str | None = ...,
) -> Checkpoint[F]: ...
def LoadClipModel(source: str, *, variant: str = ..., id: str | None = ...) -> ClipModel: ...
def LoadControlNet(
    source: str, *, variant: str = ..., precision: PartPrecision = ..., id: str | None = ...
) -> ControlNet[F]: ...
def LoadDepthModel(source: str, *, variant: str = ..., id: str | None = ...) -> DepthModel: ...
def LoadDiffusionModel(
    source: str,
    *,
    variant: str = ...,
    prediction: Prediction = ...,
    noise: Noise2 = ...,
    terminal_snr: TerminalSNR = ...,
    beta_start: float | None = ...,
    beta_end: float | None = ...,
    precision: PartPrecision = ...,
    weights: Storage = ...,
    id: str | None = ...,
) -> Model[F]: ...
def LoadEmbedding(
    text_encoder: TextEncoder[F], source: str, *, token: str = ..., id: str | None = ...
) -> TextEncoder[F]: ...
def LoadFaceEmbedding(path: str, *, id: str | None = ...) -> FaceEmbedding: ...
def LoadFeatureNetwork(source: str, *, variant: str = ..., id: str | None = ...) -> FeatureNetwork: ...
def LoadIPAdapter(source: str, *, id: str | None = ...) -> IPAdapter: ...
def LoadImage(path: str, *, id: str | None = ...) -> Image: ...
def LoadImageClassifier(source: str, *, variant: str = ..., id: str | None = ...) -> ImageClassifier: ...
def LoadImageEncoder(source: str, *, variant: str = ..., id: str | None = ...) -> ImageEncoder: ...
def LoadLoRA(source: str, *, id: str | None = ...) -> LoRA[F]: ...
def LoadObjectDetector(source: str, *, variant: str = ..., id: str | None = ...) -> ObjectDetector: ...
def LoadPerceptualNetwork(source: str, *, id: str | None = ...) -> PerceptualNetwork: ...
def LoadPictureProjection(source: str, *, variant: str = ..., id: str | None = ...) -> PictureProjection: ...
def LoadPipeline(
    source: str, *, variant: str = ..., precision: PartPrecision = ..., id: str | None = ...
) -> Pipeline: ...
def LoadPoseModel(source: str, *, variant: str = ..., id: str | None = ...) -> PoseModel: ...
def LoadRedux(source: str, *, variant: str = ..., id: str | None = ...) -> Redux: ...
def LoadSegmentationModel(source: str, *, variant: str = ..., id: str | None = ...) -> SegmentationModel: ...
def LoadTextClassifier(source: str, *, variant: str = ..., id: str | None = ...) -> TextClassifier: ...
def LoadTextEncoder(
    model: Model[F],
    source: str,
    source_2: str | None = ...,
    source_3: str | None = ...,
    source_4: str | None = ...,
    *,
    tokenizer: str | None = ...,
    precision: PartPrecision = ...,
    weights: Storage = ...,
    id: str | None = ...,
) -> TextEncoder[F]: ...
def LoadUpscaler(source: str, *, id: str | None = ...) -> Upscaler: ...
def LoadVAE(
    model: Model[F], source: str, *, variant: str = ..., precision: PartPrecision = ..., id: str | None = ...
) -> VAE[F]: ...
def LoadVideo(path: str, *, start: int = ..., count: int = ..., every: int = ..., id: str | None = ...) -> Video: ...
def MakeComfySigmas(
    model: Model[F],
    *,
    steps: int = ...,
    schedule: ComfySchedule = ...,
    denoise: float = ...,
    start_step: int = ...,
    end_step: int | None = ...,
    to_zero: bool = ...,
    shift: float | None = ...,
    id: str | None = ...,
) -> Sigmas[F]: ...
def MakeFaceEmbedding(numbers: list[float], *, id: str | None = ...) -> FaceEmbedding: ...
def MakeFlux2Sigmas(width: int = ..., height: int = ..., *, steps: int = ..., id: str | None = ...) -> Sigmas[Any]: ...
def MakeLatent(
    values: list[float],
    *,
    channels: int = ...,
    width: int = ...,
    height: int = ...,
    factor: int = ...,
    id: str | None = ...,
) -> Latent[Any]: ...
def MakeSigmas(
    model: Model[F],
    latent: Latent[F] | None = ...,
    *,
    steps: int = ...,
    schedule: ScheduleInput = ...,
    id: str | None = ...,
) -> Sigmas[F]: ...
def MakeVideo(
    images: Image | list[Image], audio: Audio | None = ..., *, rate: float = ..., id: str | None = ...
) -> Video: ...
def MaskObjects(model: SegmentationModel, image: Image, labels: str, *, id: str | None = ...) -> Mask: ...
def MaskToImage(mask: Mask, *, id: str | None = ...) -> Image: ...
def MatchColours(
    image: Image, reference: Image, *, method: Matching = ..., strength: float = ..., id: str | None = ...
) -> Image: ...
def MergeModels(
    model: Model[F], other: Model[F], *, ratio: Share = ..., blocks: str = ..., id: str | None = ...
) -> Model[F]: ...
def MergeTextEncoders(
    text_encoder: TextEncoder[F], other: TextEncoder[F], *, ratio: Share = ..., blocks: str = ..., id: str | None = ...
) -> TextEncoder[F]: ...
def MergeVAEs(vae: VAE[F], other: VAE[F], *, ratio: Share = ..., blocks: str = ..., id: str | None = ...) -> VAE[F]: ...
def MiddlePromptGuide(
    guide: Guide[F], prompt: Conditioning[F], *, scale: float = ..., id: str | None = ...
) -> Guide[F]: ...
def MixNoise(
    first: Noise[F],
    second: Noise[F],
    *,
    amount: float = ...,
    method: Literal["angle", "variance"] = ...,
    id: str | None = ...,
) -> Noise[F]: ...
def MotionGuide(
    guide: Guide[F],
    vae: VAE[F],
    latent: Latent[F],
    image: Image,
    embedding: ImageEmbedding,
    *,
    rate: int = ...,
    motion: int = ...,
    noise: float = ...,
    first_scale: float = ...,
    seed: int = ...,
    id: str | None = ...,
) -> Guide[F]: ...
def Number(value: float, *, id: str | None = ...) -> float: ...
def NumberMath(a: float, b: float, operation: RealOperation = ..., *, id: str | None = ...) -> float: ...
def Optimize(
    model: Model[F],
    *,
    compile: bool = ...,
    attention: Attention = ...,
    channels_last: bool = ...,
    separate: bool = ...,
    cache: Cache = ...,
    interval: int = ...,
    warm_up: int = ...,
    order: int = ...,
    threshold: float = ...,
    capture: bool = ...,
    fuse: bool = ...,
    id: str | None = ...,
) -> Model[F]: ...
def OptimizeVAE(vae: VAE[F], *, channels_last: bool = ..., id: str | None = ...) -> VAE[F]: ...
def PadImage(
    image: Image,
    left: Side = ...,
    top: Side = ...,
    right: Side = ...,
    bottom: Side = ...,
    *,
    fill: Fill = ...,
    colour: str = ...,
    multiple: Multiple = ...,
    feather: int = ...,
    id: str | None = ...,
) -> Padded: ...
def PerceptualDistance(network: PerceptualNetwork, image: Image, other: Image, *, id: str | None = ...) -> Scored: ...
def PerturbedAttention(
    guide: Guide[F], *, scale: float = ..., layers: list[str] | None = ..., id: str | None = ...
) -> Guide[F]: ...
def PickFromBatch(image: P, index: int = ..., *, count: int = ..., id: str | None = ...) -> P: ...
def PlotLosses(losses: list[float], *, smoothing: int = ..., id: str | None = ...) -> Image: ...
def PlotNoiseSchedule(
    model: Model[F], *, threshold: float = ..., show: ScheduleCurve = ..., id: str | None = ...
) -> PlottedSchedule: ...
def PlotSigmas(sigmas: Sigmas[F], *, id: str | None = ...) -> Image: ...
def ProjectedGuidance(
    guide: Guide[F], *, eta: float = ..., norm_threshold: float = ..., momentum: float = ..., id: str | None = ...
) -> Guide[F]: ...
def PromptArea(
    prompt: Conditioning[F],
    *,
    width: float,
    height: float,
    left: Share3 = ...,
    top: Share3 = ...,
    strength: Strength2 = ...,
    id: str | None = ...,
) -> Conditioning[F]: ...
def PromptCheck(
    text: str,
    words: list[str],
    classifier: TextClassifier | None = ...,
    *,
    labels: str = ...,
    threshold: float = ...,
    action: Literal["refuse", "block", "flag"] = ...,
    id: str | None = ...,
) -> PromptChecked: ...
def PromptMask(
    prompt: Conditioning[F], mask: Mask, *, strength: Strength2 = ..., id: str | None = ...
) -> Conditioning[F]: ...
def PromptSteps(
    prompt: Conditioning[F], *, start: Share3 = ..., end: Share3 = ..., id: str | None = ...
) -> Conditioning[F]: ...
def PromptWindow(
    prompt: Conditioning[F],
    *,
    width: int,
    height: int,
    left: Pixels3 = ...,
    top: Pixels3 = ...,
    strength: Strength2 = ...,
    id: str | None = ...,
) -> Conditioning[F]: ...
def PromptWindowShare(
    prompt: Conditioning[F],
    *,
    width: float,
    height: float,
    left: Share3 = ...,
    top: Share3 = ...,
    strength: Strength2 = ...,
    id: str | None = ...,
) -> Conditioning[F]: ...
def ReferenceGuide(
    guide: Guide[F], vae: VAE[F], image: Image, *, clean: bool = ..., places: Places = ..., id: str | None = ...
) -> Guide[F]: ...
def ReferenceLatentGuide(
    guide: Guide[F], latent: Latent[F], *, clean: bool = ..., places: Places = ..., id: str | None = ...
) -> Guide[F]: ...
def RepeatLatent(latent: Latent[F], *, times: int = ..., id: str | None = ...) -> Latent[F]: ...
def ReverseVideo(video: Video, *, back_and_forth: bool = ..., id: str | None = ...) -> Video: ...
def RotateImage(
    image: P,
    angle: float = ...,
    *,
    expand: bool = ...,
    filter: RotationFilter = ...,
    background: str = ...,
    id: str | None = ...,
) -> P: ...
def RotateLatent(
    latent: Latent[F], *, degrees: Literal["90", "180", "270"] = ..., id: str | None = ...
) -> Latent[F]: ...
def RunPipeline(
    pipeline: Pipeline,
    prompt: str | list[str] | None = ...,
    negative_prompt: str | list[str] | None = ...,
    image: Image | list[Image] | None = ...,
    mask: Mask | None = ...,
    control_image: Image | list[Image] | None = ...,
    video: Video | None = ...,
    audio: Audio | None = ...,
    inputs: PipelineInputs | list[PipelineInputs] | None = ...,
    *,
    width: int | None = ...,
    height: int | None = ...,
    frames: int | None = ...,
    count: int | None = ...,
    seed: int | list[int] = ...,
    steps: int | None = ...,
    guidance: float | None = ...,
    strength: float | None = ...,
    sampler: SamplerInput = ...,
    schedule: ScheduleInput = ...,
    settings: object = ...,
    latents: bool = ...,
    id: str | None = ...,
) -> PipelineOutput: ...
def SafetyCheck(
    classifier: ImageClassifier,
    image: Image,
    *,
    labels: str = ...,
    threshold: float = ...,
    action: SafetyAction = ...,
    id: str | None = ...,
) -> SafetyChecked: ...
def SaveAudio(audio: Audio, name: str = ..., *, format: SoundFormat = ..., id: str | None = ...) -> Artifact: ...
def SaveControlNet(control_net: ControlNet[F], name: str = ..., *, id: str | None = ...) -> list[Artifact]: ...
def SaveEmbedding(embedding: Embedding, name: str = ..., *, id: str | None = ...) -> Artifact: ...
def SaveImage(
    image: Image | list[Image],
    name: str = ...,
    *,
    format: Format = ...,
    quality: int | None = ...,
    verdicts: list[Verdict] | None = ...,
    rounding: Rounding = ...,
    id: str | None = ...,
) -> list[Artifact]: ...
def SaveLoRA(
    lora: LoRA[F], name: str = ..., *, layout: Literal["diffusers", "kohya"] = ..., id: str | None = ...
) -> Artifact: ...
def SaveVideo(
    video: Video, name: str = ..., *, format: ClipFormat = ..., quality: ClipQuality = ..., id: str | None = ...
) -> Artifact: ...
def ScaleImage(
    image: P,
    width: int = ...,
    height: int = ...,
    *,
    fit: Fit = ...,
    filter: Filter = ...,
    multiple: Multiple = ...,
    anchor: Anchor = ...,
    background: str = ...,
    id: str | None = ...,
) -> P: ...
def ScaleImageBy(
    image: P, factor: float = ..., *, filter: Filter = ..., multiple: Multiple = ..., id: str | None = ...
) -> P: ...
def ScaleImageToKontext(
    image: P, *, fit: Literal["fill", "stretch"] = ..., filter: Filter = ..., id: str | None = ...
) -> P: ...
def ScaleImageToModel(
    image: P, model: Model, *, fit: ModelFit = ..., filter: Filter = ..., id: str | None = ...
) -> P: ...
def ScaleImageToPixels(
    image: P, megapixels: float = ..., *, filter: Filter = ..., multiple: Multiple = ..., id: str | None = ...
) -> P: ...
def ScaleLatent(
    latent: Latent[F],
    *,
    width: Length | None = ...,
    height: Length | None = ...,
    factor: float = ...,
    method: Interpolation = ...,
    id: str | None = ...,
) -> Latent[F]: ...
def ScaleVideo(video: Video, width: int, height: int, *, id: str | None = ...) -> Video: ...
def Seeds(first: int, count: int = ..., *, step: int = ..., id: str | None = ...) -> list[int]: ...
def SegmentImage(model: SegmentationModel, image: Image, *, id: str | None = ...) -> Image: ...
def SetAlpha(image: Image, mask: Mask, *, id: str | None = ...) -> Image: ...
def SetAudio(video: Video, audio: Audio, *, id: str | None = ...) -> Video: ...
def SetFirstSigma(sigmas: Sigmas[F], sigma: float, *, id: str | None = ...) -> Sigmas[F]: ...
def SetFrameRate(video: Video, rate: float, *, method: RateMethod = ..., id: str | None = ...) -> Video: ...
def SetLevels(
    image: P,
    black: Level = ...,
    white: Level = ...,
    *,
    gamma: float = ...,
    low: Level = ...,
    high: Level = ...,
    id: str | None = ...,
) -> P: ...
def SetNoiseMask(latent: Latent[F], mask: Mask, *, mode: MaskMode = ..., id: str | None = ...) -> Latent[F]: ...
def SetPipelineInput(
    name: str,
    value: Image | list[Image] | Mask | Video | Audio | Latent | PipelineInputs,
    inputs: PipelineInputs | list[PipelineInputs] | None = ...,
    *,
    tensor: str = ...,
    id: str | None = ...,
) -> PipelineInputs: ...
def ShapeMask(
    width: int = ...,
    height: int = ...,
    shape: MaskShape = ...,
    *,
    left: Share4 = ...,
    top: Share4 = ...,
    right: Share4 = ...,
    bottom: Share4 = ...,
    feather: float = ...,
    id: str | None = ...,
) -> Mask: ...
def SharpenImage(
    image: Image,
    amount: float = ...,
    *,
    radius: float = ...,
    threshold: Level = ...,
    reach: Reach = ...,
    id: str | None = ...,
) -> Image: ...
def Sharpness(image: Image, *, id: str | None = ...) -> Scored: ...
def SplitBatch(image: P, *, id: str | None = ...) -> list[P]: ...
def SplitLayers(latent: Latent[F], *, whole: bool = ..., id: str | None = ...) -> Latent[F]: ...
def SplitSigmas(sigmas: Sigmas[F], *, step: int = ..., id: str | None = ...) -> SigmaParts[F]: ...
def SplitVideo(video: Video, *, id: str | None = ...) -> Image: ...
def StitchImage(
    image: Image,
    patch: Image,
    mask: Mask,
    region: CropRegion | None = ...,
    *,
    filter: Filter = ...,
    id: str | None = ...,
) -> Image: ...
def SwitchGuide(guide: Guide[F], later: Guide[F], *, boundary: float = ..., id: str | None = ...) -> Guide[F]: ...
def TakeAudio(video: Video, *, id: str | None = ...) -> Audio: ...
def TakeLatents(latent: Latent[F], *, first: int = ..., count: int = ..., id: str | None = ...) -> Latent[F]: ...
def Text(value: str, *, id: str | None = ...) -> str: ...
def TextEncode(
    text_encoder: TextEncoder[F],
    text: str,
    *,
    weights: bool = ...,
    clip_skip: int = ...,
    max_sequence_length: int | None = ...,
    weighting: Weighting = ...,
    clip_layer: int = ...,
    text_2: str | None = ...,
    text_3: str | None = ...,
    id: str | None = ...,
) -> Conditioning[F]: ...
def TrainControlNet(
    model: Model[F],
    text_encoder: TextEncoder[F],
    vae: VAE[F],
    pictures: Image | list[Image],
    control_pictures: Image | list[Image],
    captions: str | list[str],
    *,
    steps: Steps = ...,
    batch_size: int = ...,
    accumulation: int = ...,
    resolution: int = ...,
    learning_rate: Rate = ...,
    rate_schedule: RateSchedule = ...,
    warmup: int = ...,
    optimizer: Optimizer = ...,
    caption_dropout: Share5 = ...,
    timesteps: TimestepDensity = ...,
    min_snr: float = ...,
    debiased: bool = ...,
    precision: Literal["auto", "float32", "bfloat16"] = ...,
    seed: int = ...,
    id: str | None = ...,
) -> TrainedControlNet[F]: ...
def TrainEmbedding(
    model: Model[F],
    text_encoder: TextEncoder[F],
    vae: VAE[F],
    pictures: Image | list[Image],
    captions: str | list[str],
    *,
    word: str,
    start: str = ...,
    vectors: int = ...,
    steps: Steps = ...,
    batch_size: int = ...,
    accumulation: int = ...,
    resolution: int = ...,
    learning_rate: Rate = ...,
    rate_schedule: RateSchedule = ...,
    warmup: int = ...,
    caption_dropout: Share5 = ...,
    timesteps: TimestepDensity = ...,
    min_snr: float = ...,
    debiased: bool = ...,
    precision: Literal["auto", "float32", "bfloat16"] = ...,
    sample_every: int = ...,
    seed: int = ...,
    id: str | None = ...,
) -> TrainedEmbedding[F]: ...
def TrainLoRA(
    model: Model[F],
    text_encoder: TextEncoder[F],
    vae: VAE[F],
    pictures: Image | list[Image],
    captions: str | list[str],
    class_pictures: Image | list[Image] | None = ...,
    *,
    class_captions: str | list[str] = ...,
    class_weight: float = ...,
    steps: Steps = ...,
    batch_size: int = ...,
    accumulation: int = ...,
    resolution: int = ...,
    rank: int = ...,
    alpha: float | None = ...,
    layers: Literal["attention", "all"] = ...,
    train_text_encoder: bool = ...,
    learning_rate: Rate = ...,
    rate_schedule: RateSchedule = ...,
    warmup: int = ...,
    optimizer: Optimizer = ...,
    weight_decay: float = ...,
    clip_gradients: float = ...,
    caption_dropout: Share5 = ...,
    timesteps: TimestepDensity = ...,
    flow_shift: float | None = ...,
    min_snr: float = ...,
    debiased: bool = ...,
    noise_offset: Share5 = ...,
    precision: Literal["auto", "float32", "bfloat16"] = ...,
    gradient_checkpointing: bool = ...,
    sample_prompt: str = ...,
    sample_every: int = ...,
    seed: int = ...,
    id: str | None = ...,
) -> TrainedLoRA[F]: ...
def TrimAudio(audio: Audio, *, start: float = ..., seconds: float = ..., id: str | None = ...) -> Audio: ...
def TrimVideo(video: Video, *, start: int = ..., count: int = ..., id: str | None = ...) -> Video: ...
def UpscaleImage(
    upscaler: Upscaler, image: Image, *, tile: int = ..., overlap: int = ..., id: str | None = ...
) -> Image: ...
def VAEDecode(
    vae: VAE[F], latent: Latent[F], *, tile: Tile = ..., precision: Precision = ..., id: str | None = ...
) -> Image: ...
def VAEDecodeVideo(
    vae: VAE[F], latent: Latent[F], *, rate: float = ..., tile: Tile = ..., chunk: int = ..., id: str | None = ...
) -> Video: ...
def VAEEncode(
    vae: VAE[F], image: Image, *, tile: Tile = ..., precision: Precision = ..., sample: bool = ..., id: str | None = ...
) -> Latent[F]: ...
def VAEEncodeVideo(vae: VAE[F], video: Video, *, tile: Tile = ..., id: str | None = ...) -> Latent[F]: ...
def ZeroPrompt(prompt: Conditioning[F], *, id: str | None = ...) -> Conditioning[F]: ...
