"""Weft's node library: what a diffusion pipeline is built from.

    with Graph(title="A landscape") as graph:
        checkpoint = LoadCheckpoint("builtin:landscapes")
        prompt = TextEncode(checkpoint.text_encoder, "a snowy mountain at sunset")
        latent = KSampler(CFGGuide(checkpoint.model, prompt, scale=5.0), EmptyLatent(128, 128), seed=42)
        SaveImage(VAEDecode(checkpoint.vae, latent), name="landscape")

The rooms, each above those that it uses: `values` (what links carry), `models` (file formats, headers, networks,
denoisers and what they predict, previews), `prompting` (prompts, text encoders, embeddings), `families` (one file a
family of models, and how a name becomes files), `sampling` (samplers, schedules, runs, guidance, checks before a run),
`fine_tuning` (losses of papers, what is trained, the loop that trains it),
`library` (every node function, and how recipes are loaded), `interop` (graphs of other programs). `builtin` is the
embedded model. Read next: `values`, then a file of `library`. nodes/AUTHORING.md is for authors of other libraries.

Importing this package imports no torch: heavy imports happen in the bodies of nodes. What it exports is imported when
it is asked for, so that a graph costs the modules of its own node types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.engine import lazy_exports, loaders_in
from weft.nodes import moved_node_modules as _moved_node_modules  # noqa: F401  (importing it registers them)

if TYPE_CHECKING:
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
    from weft.nodes.library.adjust import AdjustColours, BlurImage, InvertImage, MatchColours, SetLevels, SharpenImage
    from weft.nodes.library.attention import AttentionShown, KSamplerAttention
    from weft.nodes.library.audio import LoadAudio, SaveAudio, SetAudio, TakeAudio, TrimAudio
    from weft.nodes.library.batch import BatchImages, PickFromBatch, SplitBatch
    from weft.nodes.library.captioned_pictures import LoadCaptionedPictures, PicturesWithCaptions
    from weft.nodes.library.clip_scores import AestheticScore, ClipScore, LoadAestheticHead, LoadClipModel
    from weft.nodes.library.comfy_sigmas import MakeComfySigmas, MakeFlux2Sigmas
    from weft.nodes.library.comparisons import Compare, Compared, LoadPerceptualNetwork, PerceptualDistance, Sharpness
    from weft.nodes.library.composite import CompositeImages
    from weft.nodes.library.conditioning import (
        AveragePrompts,
        CombinePrompts,
        ConcatPrompts,
        PromptArea,
        PromptMask,
        PromptSteps,
        PromptWindow,
        PromptWindowShare,
        ZeroPrompt,
    )
    from weft.nodes.library.control import ApplyControlNet, Controlled
    from weft.nodes.library.edge_maps import DrawLineArt, DrawScribble, FindCannyEdges, FindSoftEdges
    from weft.nodes.library.edges import FindEdges
    from weft.nodes.library.edit_prompts import EncodeEditPrompt
    from weft.nodes.library.face_prompts import ApplyFaceID, LoadFaceEmbedding, MakeFaceEmbedding
    from weft.nodes.library.free_u import FreeU
    from weft.nodes.library.geometry import CropImage, CropToAspect, FlipImage, Padded, PadImage, RotateImage
    from weft.nodes.library.grid import ImageGrid
    from weft.nodes.library.grounding_prompts import GroundPictures, GroundPrompt, LoadPictureProjection
    from weft.nodes.library.guidance import CFGGuide
    from weft.nodes.library.guide_switch import SwitchGuide
    from weft.nodes.library.guiders import MiddlePromptGuide, PerturbedAttention, ProjectedGuidance
    from weft.nodes.library.hypernetworks import ApplyHypernetwork
    from weft.nodes.library.image import ListPictures, LoadImage, SaveImage
    from weft.nodes.library.image_prompts import ApplyIPAdapter, EncodeImage, LoadImageEncoder, LoadIPAdapter, Pictured
    from weft.nodes.library.image_to_video import ImageToVideoGuide
    from weft.nodes.library.image_vectors import ApplyReVision, ApplyUnCLIP
    from weft.nodes.library.inpaint import (
        ControlGuide,
        DensePredictionGuide,
        EditGuide,
        ImageToMask,
        InpaintGuide,
        ReferenceGuide,
        ReferenceLatentGuide,
    )
    from weft.nodes.library.join_images import JoinImages
    from weft.nodes.library.kontext import ScaleImageToKontext
    from weft.nodes.library.latent import EmptyLatent, VAEDecode, VAEEncode
    from weft.nodes.library.latent_batches import BatchLatents, ListLatents, RepeatLatent, TakeLatents
    from weft.nodes.library.latent_geometry import CompositeLatents, CropLatent, FlipLatent, RotateLatent, ScaleLatent
    from weft.nodes.library.latent_math import BlendLatents, LatentMath, LatentValues, MakeLatent
    from weft.nodes.library.latent_views import LatentChannels
    from weft.nodes.library.layered_pictures import EmptyLayeredLatent, SplitLayers
    from weft.nodes.library.loaders import (
        Checkpoint,
        LoadCheckpoint,
        LoadControlNet,
        LoadDiffusionModel,
        LoadEmbedding,
        LoadTextEncoder,
        LoadVAE,
    )
    from weft.nodes.library.lora import Adapted, ApplyLoRA, ApplyLoRAToModel, LoadLoRA
    from weft.nodes.library.mask import (
        ColourMask,
        CombineMasks,
        FeatherMask,
        GrowMask,
        MaskToImage,
        SetAlpha,
        ShapeMask,
    )
    from weft.nodes.library.merging import AddModels, AddTextEncoders, MergeModels, MergeTextEncoders, MergeVAEs
    from weft.nodes.library.motion import ApplyMotionAdapter
    from weft.nodes.library.motion_guide import MotionGuide
    from weft.nodes.library.native_size import ScaleImageToModel
    from weft.nodes.library.noise_mask import SetNoiseMask
    from weft.nodes.library.noise_values import AddNoise, DrawNoise, MixNoise, Noise
    from weft.nodes.library.optimize import Optimize, OptimizeVAE
    from weft.nodes.library.picture_models import (
        DepthToNormals,
        DrawPose,
        EstimateDepth,
        LoadDepthModel,
        LoadObjectDetector,
        LoadPoseModel,
        LoadSegmentationModel,
        MaskObjects,
        SegmentImage,
    )
    from weft.nodes.library.pipelines import (
        ApplyLoRAToPipeline,
        EncodePipelinePrompt,
        LoadPipeline,
        PipelineOutput,
        RunPipeline,
        SetPipelineInput,
    )
    from weft.nodes.library.primitives import (
        Boolean,
        ChooseWords,
        FormatText,
        Integer,
        IntegerMath,
        JoinText,
        Number,
        NumberMath,
        Seeds,
        Text,
    )
    from weft.nodes.library.redux import ApplyRedux, LoadRedux
    from weft.nodes.library.safety import (
        LoadImageClassifier,
        LoadTextClassifier,
        PromptCheck,
        PromptChecked,
        SafetyCheck,
        SafetyChecked,
    )
    from weft.nodes.library.sampler import KSampler
    from weft.nodes.library.sampler_batch import KSamplerBatch
    from weft.nodes.library.sampler_steps import KSamplerSteps, SampledSteps
    from weft.nodes.library.scale import ImageExtent, ImageSize, ScaleImage, ScaleImageBy, ScaleImageToPixels
    from weft.nodes.library.schedule_plot import PlotNoiseSchedule, PlottedSchedule
    from weft.nodes.library.set_scores import (
        FID,
        KID,
        Distance,
        ExtractFeatures,
        ExtractFolderFeatures,
        KernelDistance,
        LoadFeatureNetwork,
    )
    from weft.nodes.library.sigmas import (
        FlipSigmas,
        ListSigmas,
        MakeSigmas,
        PlotSigmas,
        SetFirstSigma,
        SigmaParts,
        Sigmas,
        SplitSigmas,
    )
    from weft.nodes.library.stitch import CroppedToMask, CropRegion, CropToMask, StitchImage
    from weft.nodes.library.text import Framing, TextEncode
    from weft.nodes.library.train_control_net import SaveControlNet, TrainControlNet, TrainedControlNet
    from weft.nodes.library.train_embedding import SaveEmbedding, TrainedEmbedding, TrainEmbedding
    from weft.nodes.library.train_lora import PlotLosses, SaveLoRA, TrainedLoRA, TrainLoRA
    from weft.nodes.library.upscale import LoadUpscaler, UpscaleImage
    from weft.nodes.library.video import (
        DrawContactStrip,
        JoinVideos,
        LoadVideo,
        MakeVideo,
        ReverseVideo,
        SaveVideo,
        ScaleVideo,
        SetFrameRate,
        SplitVideo,
        TrimVideo,
    )
    from weft.nodes.library.video_latents import EmptyVideoLatent, VAEDecodeVideo, VAEEncodeVideo
    from weft.nodes.lora_values import AddedLoRAs, AppliedLoRA, LoRA
    from weft.nodes.media_values import Audio, Video
    from weft.nodes.picture_model_values import (
        DepthModel,
        ImageClassifier,
        ObjectDetector,
        PoseModel,
        SegmentationModel,
        TextClassifier,
        Upscaler,
    )
    from weft.nodes.pipeline_values import Pipeline, PipelineInputs
    from weft.nodes.sampling.compatibility import guide_fits
    from weft.nodes.sampling.samplers import SamplerName, ScheduleName
    from weft.nodes.sampling.traits import GuideTraits, LatentTraits, ModelTraits, PromptTraits
    from weft.nodes.score_values import (
        AestheticHead,
        ClipModel,
        FeatureNetwork,
        PerceptualNetwork,
        PictureFeatures,
        Scored,
    )
    from weft.nodes.sizes import Size, SizeTraits
    from weft.nodes.values import (
        VAE,
        Conditioning,
        Control,
        ControlNet,
        Embedding,
        Forecast,
        Guide,
        Image,
        LanguageSight,
        Latent,
        Mask,
        Model,
        MotionAdapter,
        NoiseMask,
        Perturbation,
        Projection,
        Prompt,
        TextEncoder,
        TextualInversion,
    )
else:
    __getattr__, __dir__ = lazy_exports(__name__)

loaders_in("weft.nodes.library.recipe_loaders", "weft.nodes.library.image_prompt_loaders")

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
