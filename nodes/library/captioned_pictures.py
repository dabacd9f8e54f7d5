"""Pictures with captions to train on: LoadCaptionedPictures."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from weft.engine import INJECTED, Context, InputError, Range, node
from weft.nodes.picture_reading import read_picture
from weft.nodes.picture_sources import CAPTIONED_FOLDER, caption_of
from weft.nodes.pictures.fitting import of_pixels
from weft.nodes.sizes import size_of
from weft.nodes.values import Image


class PicturesWithCaptions(NamedTuple):
    """Pictures, and the caption of each in the same order."""

    pictures: list[Image]
    captions: list[str]


@node(category="training", lane="io")
def LoadCaptionedPictures(
    folder: Annotated[str, CAPTIONED_FOLDER],
    *,
    prefix: str = "",
    resolution: Annotated[int, Range(0, 8192)] = 0,
    context: Context = INJECTED,
) -> PicturesWithCaptions:
    """Read all pictures of a folder with the captions that lie next to them, to train on: `1.png` and `1.txt`.

    Folders for kohya's scripts and most other trainers are of this form. Pictures come in natural order (`2.png` before
    `10.png`), captions without white space around them. Link both outputs to TrainLoRA, TrainEmbedding or
    TrainControlNet.

    Args:
        folder: looked up next to the graph, in the working directory and in the input folders. Folders below it do not
            count.
        prefix: put in front of every caption: a rare word for what is learned, with a comma and a space.
        resolution: the side of a square with as many pixels as larger pictures are scaled down to, since all are held
            in memory; 0 keeps them.
    """
    import torch

    from weft.nodes.pictures.resampling import resized

    contents = context.contents(folder)
    texts = {path: _text(content, path.name) for path, content in contents.items() if path.suffix == ".txt"}
    pictures, captions = list[Image](), list[str]()
    for path in (one for one in contents if one not in texts):
        pixels = torch.from_numpy(read_picture(contents[path], path.name, context.limits))[None]
        source = size_of(pixels)
        if resolution and source.width * source.height > resolution**2:
            pixels = resized(pixels, of_pixels(source, resolution**2), "lanczos")
        pictures.append(Image(pixels))
        captions.append(prefix + texts[caption_of(path)])
        context.look()
    return PicturesWithCaptions(pictures, captions)


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as fault:
        message = f"`{name}` is no text in UTF-8"
        raise InputError(message, "save it as UTF-8", "wrong-kind-of-file") from fault
