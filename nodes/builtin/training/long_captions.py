"""Trains the text encoder further, so that words are followed anywhere in a long text.

Captions are short. An encoder trained only on captions encodes unknown words, and words at late positions, so strongly
that they outweigh the rest. Here captions are placed among meaningless words, over one or several chunks.
"""

import copy
from dataclasses import dataclass
from itertools import chain, cycle

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from .captions import draw_caption
from .loop import device, generators
from .unet_stage import DenoiserStage, Noisy, draw_noisy
from .vocabulary import GLUE, TOKENS

__all__ = ["LongCaptionsStage", "chunked", "draw_filler", "surrounded"]

_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"
_COMMON = (*"etaoinshrdlucmfwygpbv", "th", "ed", "er", "ing", "tion", "ly", "s", "es", "ou", "ea", "st", "ch")
_SMALL = (*GLUE, "at", "to", "an")
_ENGLISH = (
    "about after again all also and any are ask back be because been before but came can come could did do does down "
    "each even every few find first for from get give go good had has have he her here him his how i if into is it its "
    "just keep know last like long look made make many may me mean more most much must my never new not now of off old "
    "once one only or other others our out over own people quite read said same say see she should show so some still "
    "such take tell than that their them then these they thing think this those through time too two under until up us "
    "use very want was way we well were what when where which while who why will with work would year you your"
)
_MARKS = (",", ".", ";", ":", "-", "!", "?", "'", '"', "(", ")")
_MOST_CHUNKS = 3


@dataclass
class LongCaptionsStage:
    """Trains the text encoder of a frozen UNet to encode a caption in a long text like the caption alone.

    The target is the UNet's prediction from the caption alone with the encoder as it was before. A second loss keeps
    the embeddings of plain captions as they were, so short prompts do not get worse.
    """

    denoiser: DenoiserStage
    seed: int
    batch: int = 32
    keep: float = 1.0
    name: str = "long_captions"

    def __post_init__(self) -> None:
        self.text_encoder = self.denoiser.text_encoder
        self.modules = nn.ModuleDict({"text_encoder": self.text_encoder})
        self.before = copy.deepcopy(self.text_encoder).requires_grad_(False)
        self.denoiser.unet.requires_grad_(False)
        for encoder in (self.text_encoder, self.before):
            encoder.train(False)

    def loss(self, step: int) -> Tensor:
        """The error of predictions from long texts against those from captions, and the change of plain captions."""
        numbers, noise = generators(self.seed, step)
        rows = numbers.integers(len(self.denoiser.scenes), size=self.batch)
        captions = [draw_caption(self.denoiser.scenes[row], numbers).text for row in rows]
        count = int(numbers.integers(1, _MOST_CHUNKS + 1))
        long = [surrounded(caption, self.denoiser.tokenizer, count, numbers) for caption in captions]
        noisy = draw_noisy(self.denoiser.latents[rows], noise)
        with torch.autocast(device().type, torch.bfloat16):
            with torch.no_grad():
                alone = self._read(self.before, captions, 1)
                wanted = self._predict(noisy, alone)
            guess = self._predict(noisy, self._read(self.text_encoder, long, count))
            kept = functional.mse_loss(self._read(self.text_encoder, captions, 1).float(), alone.float())
        off = (guess - wanted).square()
        return (off * noisy.weights).mean() + self.keep * kept

    def _predict(self, noisy: Noisy, words: Tensor) -> Tensor:
        """The UNet's prediction, not compiled: compiled, a frozen network gives its inputs no gradient (torch 2.13)."""
        guess: Tensor = self.denoiser.unet(noisy.latents, noisy.times, words).sample
        return guess.float()

    def _read(self, encoder: nn.Module, texts: list[str], count: int) -> Tensor:
        """The embeddings of texts of at most `count` chunks, float `[text, 77 * count, width]`."""
        numbers = torch.stack([chunked(text, self.denoiser.tokenizer, count) for text in texts])
        read: Tensor = encoder(numbers.flatten(0, 1).to(device())).last_hidden_state
        return read.reshape(len(texts), count * TOKENS, read.shape[-1])


def chunked(text: str, tokenizer: CLIPTokenizer, count: int) -> Tensor:
    """A text's tokens in `count` chunks of 75 between their start and end tokens, int64 `[count, 77]`."""
    tokens = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    room = TOKENS - 2
    parts = (tokens[at * room : (at + 1) * room] for at in range(count))
    rows = ([tokenizer.bos_token_id, *part, tokenizer.eos_token_id] for part in parts)
    return torch.tensor([row + [tokenizer.pad_token_id] * (TOKENS - len(row)) for row in rows])


def surrounded(caption: str, tokenizer: CLIPTokenizer, count: int, numbers: np.random.Generator) -> str:
    """A caption among, before or after meaningless words, at most `count` chunks in all.

    In half of all texts they stand before it, in the others wherever it has a comma.
    """
    room = count * (TOKENS - 2) - len(tokenizer(caption, add_special_tokens=False).input_ids) - 8
    words = draw_filler(int(room * numbers.random() ** 0.5), tokenizer, numbers)
    parts = caption.split(", ")
    if numbers.random() < 0.5:
        parts = [caption]
        cuts = [len(words)]
    else:
        cuts = sorted(numbers.integers(0, len(words) + 1, len(parts)))
    joint = (", ", " ", ". ")[numbers.integers(3)]
    fillers = [" ".join(words[start:end]) for start, end in zip([0, *cuts], [*cuts, len(words)], strict=True)]
    pieces = chain.from_iterable(zip(fillers, [*parts, ""], strict=True))
    return joint.join(piece for piece in pieces if piece)


def draw_filler(room: int, tokenizer: CLIPTokenizer, numbers: np.random.Generator) -> list[str]:
    """Words of at most `room` tokens: common and made-up ones, numbers, marks, the small words that captions have too.

    In every fifth text it is one to four of them, again and again.
    """
    share = numbers.random()

    def word() -> str:
        return str(numbers.choice((*_SMALL, *_MARKS))) if numbers.random() < share else _word(numbers)

    again = cycle([word() for _ in range(numbers.integers(1, 5))]) if numbers.random() < 0.2 else None
    words: list[str] = []
    while room >= 0:
        words += [next(again) if again else word()]
        room -= len(tokenizer(words[-1], add_special_tokens=False).input_ids)
    return words[:-1]


def _word(numbers: np.random.Generator) -> str:
    """A common word, a word of syllables, one of common letters, a number, or a row of marks."""
    if numbers.random() < 0.4:
        return str(numbers.choice(_ENGLISH.split()))
    kind, count = numbers.random(), int(numbers.integers(1, 6))
    if kind < 0.45:
        pairs = zip(numbers.choice([*_CONSONANTS], count), numbers.choice([*_VOWELS], count), strict=True)
        return "".join(consonant + vowel for consonant, vowel in pairs)
    if kind < 0.9:
        return "".join(numbers.choice(_COMMON, count + 1))
    if kind < 0.95:
        return str(numbers.integers(10_000))
    return str(numbers.choice(_MARKS)) * int(numbers.integers(2, 40))
