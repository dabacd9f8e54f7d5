"""An error of a library in the call of a network says which network was given what."""

from __future__ import annotations

import pytest
import torch

from tests.refusals import names, refused
from weft.engine import InputError
from weft.nodes.models.network_calls import network_call, reading_weights


def test_an_error_of_torch_names_the_network_and_the_sizes() -> None:
    given = {"latents": torch.zeros(2, 4, 9, 8)}
    with pytest.raises(InputError) as caught, network_call("the network", given, "16 channels"):
        torch.nn.Conv2d(16, 4, 3)(given["latents"])
    error = caught.value
    assert error.code == "network-failed" and error.hint and names(error, "the network", "[2, 4, 9, 8]", "16 channels")
    assert isinstance(error.__cause__, RuntimeError)


@pytest.mark.parametrize("fault", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), KeyboardInterrupt()])
def test_lack_of_memory_and_interrupts_stay_what_they_are(fault: BaseException) -> None:
    with pytest.raises(type(fault)), network_call("the network", {}):
        raise fault


def test_refusals_inside_keep_their_code() -> None:
    with refused("wrong-size"), network_call("the network", {}):
        raise InputError("72 pixels", "give 64", "wrong-size")


class LibraryError(Exception):
    """An error of no class of Python's."""


def test_what_libraries_raise_while_weights_are_read_names_the_source() -> None:
    with refused("damaged-file", "model.safetensors", "LibraryError"), reading_weights("model.safetensors"):
        raise LibraryError("odd")
    with refused("damaged-file", "size mismatch for a.weight"), reading_weights("model.safetensors"):
        raise RuntimeError("Error(s) in loading state_dict for Net:\n\tsize mismatch for a.weight\n\tand more")
    with pytest.raises(MemoryError), reading_weights("model.safetensors"):
        raise MemoryError
