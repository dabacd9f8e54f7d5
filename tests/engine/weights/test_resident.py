"""Patches of shared modules: entered once for all that want them, undone bit for bit, one set at a time."""

from __future__ import annotations

import gc
import threading
import weakref
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from weft.engine import (
    INJECTED,
    Cancelled,
    Context,
    Engine,
    Graph,
    InputError,
    Loading,
    NodeType,
    Patch,
    Recipe,
    RestoreWeights,
    node,
    value,
)
from weft.engine.weights.device_lane import DeviceLane
from weft.engine.weights.residency import Residency

WIDTH, RANK = 16, 2

BYTES = 4 * WIDTH * WIDTH

NUMBERS = torch.Generator().manual_seed(0)

X, BARE = torch.randn(4, WIDTH, generator=NUMBERS), torch.randn(WIDTH, WIDTH, generator=NUMBERS)

UP, DOWN = torch.randn(WIDTH, RANK, generator=NUMBERS), torch.randn(RANK, WIDTH, generator=NUMBERS)

counts: Counter[str] = Counter()
"""How often something was loaded, entered and undone."""


@value
@dataclass(frozen=True)
class Factors(Recipe[tuple[Tensor, Tensor]]):
    """Names the two matrices of a low rank that all strengths of a LoRA share."""

    source: str

    def load(self, loading: Loading) -> tuple[Tensor, Tensor]:
        """Give up `[out, rank]` and down `[rank, in]`."""
        counts["factors"] += 1
        return UP, DOWN


@value
@dataclass(frozen=True)
class LowRank(Patch[nn.Linear]):
    """Adds strength x (up @ down) to the weight of a linear layer."""

    factors: Factors
    strength: float

    def enter(self, module: nn.Linear, loading: Loading) -> Callable[[], None]:
        """Put another parameter in the place of the weight, which is kept as it is."""
        with loading.weights(self.factors) as (up, down):
            if up.shape[0] != module.out_features:
                raise InputError("the LoRA has another width", "take another one")
            changed = module.weight.detach() + self.strength * (up @ down)
        kept, module.weight = module.weight, nn.Parameter(changed, requires_grad=False)
        counts["entered"] += 1

        def undo() -> None:
            module.weight = kept
            counts["undone"] += 1

        return undo


@value
@dataclass(frozen=True)
class InPlace(Patch[nn.Linear]):
    """Adds to the weight in place, in float16 where a subtraction would not give it back; may fail on its way."""

    amount: float
    fails: str = ""

    def enter(self, module: nn.Linear, loading: Loading) -> Callable[[], None]:
        """Add, and fail if so wished."""
        if self.fails == "refuses":
            raise InputError("it does not fit", "leave it out")
        kept = module.weight.detach().clone()
        with torch.no_grad():
            module.weight += self.amount
        if self.fails == "enter":
            raise ZeroDivisionError

        def undo() -> None:
            if self.fails == "undo":
                raise ZeroDivisionError
            with torch.no_grad():
                module.weight.copy_(kept)

        return undo


@value
@dataclass(frozen=True)
class Linear(Recipe[nn.Linear]):
    """A linear layer with LoRAs, as a model with its patches will be."""

    name: str
    loras: tuple[LowRank, ...] = ()

    @property
    def base(self) -> Linear:
        """Without its LoRAs."""
        return Linear(self.name)

    @property
    def patches(self) -> tuple[LowRank, ...]:
        """Its LoRAs."""
        return self.loras

    def load(self, loading: Loading) -> nn.Linear:
        """Build it in float32."""
        counts["linear"] += 1
        layer = nn.Linear(WIDTH, WIDTH, bias=False)
        with torch.no_grad():
            layer.weight.copy_(BARE)
        return layer


PLAIN = Linear("a")
FACTORS = Factors("b")


def with_lora(*strengths: float) -> Linear:
    return Linear("a", tuple(LowRank(FACTORS, strength) for strength in strengths))


def expected(*strengths: float) -> Tensor:
    """The weight of the layer under LoRAs."""
    weight = BARE
    for strength in strengths:
        weight = weight + strength * (UP @ DOWN)
    return weight


@pytest.fixture
def residency() -> Residency:
    counts.clear()
    return Residency()


def weight(residency: Residency, recipe: Linear = PLAIN) -> Tensor:
    """The layer's weight as a block sees it."""
    with residency.hold(recipe, "cpu") as layer:
        return layer.weight.detach().clone()


def test_a_module_is_patched_for_who_wants_it_and_bit_for_bit_its_own_for_others(residency: Residency) -> None:
    for strengths in ((0.5,), (), (1.0,), (0.5, 1.0), (1.0, 0.5), ()):
        assert torch.equal(weight(residency, with_lora(*strengths)), expected(*strengths))


def test_all_strengths_take_one_base_in_memory(residency: Residency) -> None:
    for strength in range(10):
        weight(residency, with_lora(strength / 10))
        assert residency.used == BYTES
    assert (counts["linear"], counts["factors"]) == (1, 1) and torch.equal(weight(residency), BARE)


def test_a_hundred_items_with_one_patch_enter_it_once(residency: Residency) -> None:
    for _ in range(100):
        weight(residency, with_lora(0.7))
    assert (counts["entered"], counts["undone"]) == (1, 0)


def test_first_patches_that_are_the_same_stay_in(residency: Residency) -> None:
    for strengths in ((0.5,), (0.5, 1.0), (0.5,), (0.5, 2.0)):
        weight(residency, with_lora(*strengths))
    assert (counts["entered"], counts["undone"]) == (3, 1)


def test_equal_numbers_of_other_types_are_other_patches(residency: Residency) -> None:
    weight(residency, with_lora(1.0))
    weight(residency, with_lora(1))
    assert counts["entered"] == 2


@pytest.mark.parametrize("fault", [ZeroDivisionError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_nothing_to_others(residency: Residency, fault: type[BaseException]) -> None:
    with pytest.raises(fault), residency.hold(with_lora(0.5), "cpu"):
        raise fault
    assert torch.equal(weight(residency), BARE) and counts["linear"] == 1


def test_a_cancelled_block_leaves_nothing_to_others(residency: Residency) -> None:
    looks = iter([False, False, True])
    context = Context("cpu", "float32", residency, cancelled=lambda: next(looks))
    with pytest.raises(Cancelled), context.weights(with_lora(0.5)) as layer:
        context.progress(1, 3)
        assert torch.equal(layer.weight, expected(0.5))
        context.progress(2, 3)
        context.progress(3, 3)
    assert torch.equal(weight(residency), BARE) and counts["linear"] == 1


def test_patches_of_a_call_come_after_those_of_the_recipe(residency: Residency) -> None:
    context = Context("cpu", "float32", residency)
    with context.weights(with_lora(0.5), nn.Linear, patches=(LowRank(FACTORS, 2.0),)) as layer:
        assert torch.equal(layer.weight, expected(0.5, 2.0))
    with context.weights(with_lora(0.5)) as layer:
        assert torch.equal(layer.weight, expected(0.5))


def test_a_block_within_a_block_gets_its_own_patches_and_the_outer_one_gets_its_own_back(residency: Residency) -> None:
    context = Context("cpu", "float32", residency)
    with context.weights(with_lora(0.5)) as layer:
        with context.weights(with_lora(2.0)) as inner, context.weights(PLAIN) as bare:
            assert inner is layer is bare and torch.equal(layer.weight, BARE)
        assert torch.equal(layer.weight, expected(0.5))
        with pytest.raises(ZeroDivisionError), context.weights(PLAIN, patches=(InPlace(1.0),)):
            raise ZeroDivisionError
        assert torch.equal(layer.weight, expected(0.5))
    assert torch.equal(weight(residency), BARE) and counts["linear"] == 1


def test_blocks_may_end_in_the_order_in_which_they_began(residency: Residency) -> None:
    with ExitStack() as first, ExitStack() as second:
        layer = first.enter_context(residency.hold(with_lora(0.5), "cpu"))
        second.enter_context(residency.hold(with_lora(2.0), "cpu"))
        first.close()
        assert torch.equal(layer.weight, expected(2.0))
    assert torch.equal(weight(residency), BARE)


def test_a_patch_that_does_not_fit_leaves_the_module_to_others(residency: Residency) -> None:
    with residency.hold(with_lora(0.5), "cpu") as layer:
        with pytest.raises(InputError), residency.hold(PLAIN, "cpu", (InPlace(1.0, "refuses"),)):
            pass
        assert torch.equal(layer.weight, expected(0.5))
    assert torch.equal(weight(residency), BARE) and counts["linear"] == 1


@pytest.mark.parametrize("fails", ["enter", "undo"])
def test_a_module_of_which_nobody_knows_what_is_in_it_is_loaded_again(residency: Residency, fails: str) -> None:
    with pytest.raises(ZeroDivisionError):
        with residency.hold(PLAIN, "cpu", (InPlace(1.0, fails),)):
            pass
        weight(residency)
    assert torch.equal(weight(residency), BARE) and counts["linear"] == 2 and residency.used == BYTES


@value
@dataclass(frozen=True)
class AsksForItself(Patch[nn.Linear]):
    """Holds the module that it is entered into."""

    def enter(self, module: nn.Linear, loading: Loading) -> Callable[[], None]:
        """Ask for it."""
        with loading.weights(PLAIN):
            raise AssertionError


def test_a_patch_that_asks_for_its_own_module_fails_instead_of_waiting(residency: Residency) -> None:
    with pytest.raises(RuntimeError), residency.hold(PLAIN, "cpu", (AsksForItself(),)):
        pass
    assert torch.equal(weight(residency), BARE)


def test_in_half_precision_what_was_overwritten_comes_back(residency: Residency) -> None:
    with residency.hold(PLAIN, "cpu") as layer:
        layer.half()
        before = layer.weight.detach().clone()
        with residency.hold(PLAIN, "cpu", (InPlace(1000.0),)):
            assert not torch.equal(layer.weight + -1000.0, before), "subtracting would not do"
        assert torch.equal(layer.weight, before)


def test_an_evicted_module_is_left_as_it_was_loaded(residency: Residency) -> None:
    with residency.hold(with_lora(0.5), "cpu") as layer:
        residency.clear()
        assert torch.equal(layer.weight, expected(0.5)), "it is in use"
    residency.clear()
    assert torch.equal(layer.weight, BARE) and counts["undone"] == 1
    with residency.hold(with_lora(0.5), "cpu") as layer:
        pass
    residency.budget = BYTES
    with residency.hold(Linear("b"), "cpu"):
        assert torch.equal(layer.weight, BARE) and counts["undone"] == 2


@value
@dataclass(frozen=True)
class Restored(Patch[nn.Linear]):
    """Doubles the weight; its undo puts back numbers alone."""

    def enter(self, module: nn.Linear, loading: Loading) -> Callable[[], None]:
        """Double it."""
        assert loading.base == PLAIN
        with torch.no_grad():
            module.weight *= 2

        def restore() -> None:
            counts["undone"] += 1
            with torch.no_grad():
                module.weight /= 2

        return RestoreWeights(restore)


def test_weights_of_an_evicted_module_are_not_put_back(residency: Residency) -> None:
    for expected_undone, patches in ((0, (Restored(),)), (1, ())):
        with residency.hold(PLAIN, "cpu", patches) as layer:
            assert torch.equal(layer.weight, 2 * BARE if patches else BARE) and counts["undone"] == expected_undone
    with residency.hold(PLAIN, "cpu", (Restored(),)):
        pass
    residency.clear()
    assert counts["undone"] == 1 and residency.used == 0
    assert torch.equal(weight(residency), BARE) and counts["linear"] == 2


def test_a_residency_that_nobody_has_frees_its_modules_at_once() -> None:
    gone, collects = Residency(), gc.isenabled()
    gc.disable()
    try:
        weight(gone, PLAIN)
        with gone.hold(PLAIN, "cpu") as layer:
            kept = weakref.ref(layer)
        del layer, gone
        assert kept() is None
    finally:
        gc.enable() if collects else None


def test_a_recipe_is_resident_where_its_base_is(residency: Residency) -> None:
    weight(residency, with_lora(0.5))
    assert residency.resident([PLAIN, [with_lora(0.1)]], "cpu") and not residency.resident([Linear("b")], "cpu")


def joined(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_thread_waits_until_no_other_one_uses_the_module(residency: Residency) -> None:
    found: list[Tensor] = []
    other = threading.Thread(target=lambda: found.append(weight(residency, with_lora(2.0))))
    with residency.hold(with_lora(0.5), "cpu") as layer:
        other.start()
        other.join(0.05)
        assert other.is_alive() and torch.equal(layer.weight, expected(0.5))
        assert torch.equal(weight(residency, Linear("b")), BARE), "other modules are free"
    other.join(20)
    assert torch.equal(found[0], expected(2.0))


def test_a_thread_that_a_block_starts_in_its_context_does_not_wait_for_it(residency: Residency) -> None:
    with residency.hold(with_lora(0.5), "cpu") as layer:
        found: list[Tensor] = []
        work = partial(copy_context().run, lambda: found.append(weight(residency, with_lora(2.0))))
        joined([threading.Thread(target=work)])
        assert torch.equal(found[0], expected(2.0)) and torch.equal(layer.weight, expected(0.5))


def test_threads_that_want_different_patches_each_see_their_own_and_none_waits_for_ever(residency: Residency) -> None:
    wanted = {strength: expected(strength) for strength in (0.0, 0.5, 1.0, 2.0)}
    wrong: list[float] = []

    def work(strength: float, other: float) -> None:
        for _ in range(50):
            with residency.hold(with_lora(strength), "cpu") as layer:
                before = torch.equal(layer.weight, wanted[strength])
                with residency.hold(with_lora(other), "cpu"):
                    within = torch.equal(layer.weight, wanted[other])
                if not (before and within and torch.equal(layer.weight, wanted[strength])):
                    wrong.append(strength)

    strengths = [*wanted]
    joined(
        [threading.Thread(target=work, args=pair, daemon=True) for pair in zip(strengths, strengths[::-1], strict=True)]
    )
    assert not wrong and torch.equal(weight(residency), BARE) and counts["linear"] == 1


def test_contexts_on_one_device_take_turns_whatever_patches_they_want(residency: Residency) -> None:
    lane, inside, most = DeviceLane("cpu"), [0], [0]
    context = Context("cpu", "float32", residency, lane=lane)

    def work(strength: float) -> None:
        for _ in range(20):
            with context.weights(with_lora(strength)) as layer:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                assert torch.equal(layer.weight, expected(strength))
                inside[0] -= 1

    joined([threading.Thread(target=work, args=(strength,), daemon=True) for strength in (0.5, 0.5, 1.0, 2.0)])
    assert most == [1] and inside == [0]


@node(lane="cpu")
def PatchLinear(layer: Linear | None = None, *, strength: float = 1.0) -> Linear:
    """Add a LoRA to a layer.

    Args:
        layer: to which; a new one where it is left out.
        strength: the factor of the LoRA.
    """
    return Linear("a", (*(layer.loras if layer else ()), LowRank(FACTORS, strength)))


@node(lane="gpu")
def ApplyLinear(layer: Linear, shift: float = 0.0, *, fails: bool = False, context: Context = INJECTED) -> list[float]:
    """Apply a layer.

    Args:
        layer: from PatchLinear.
        shift: added to what comes in.
        fails: whether it fails in the middle.
    """
    with context.weights(layer, nn.Linear) as module, torch.inference_mode():
        found: Any = module(X + shift)
        context.progress(1, 2)
        if fails:
            raise ZeroDivisionError
    flat: list[float] = found.flatten().tolist()
    return flat


def applied(shift: float, *strengths: float) -> list[float]:
    found: list[float] = nn.functional.linear(X + shift, expected(*strengths)).flatten().tolist()
    return found


@pytest.fixture
def engine() -> Engine:
    counts.clear()
    return Engine(store=None, device="cpu", history=False)


def test_what_is_loaded_and_patched_while_a_node_infers_can_be_changed_later(engine: Engine) -> None:
    residency, recipe = Residency(), Linear("a")
    with torch.inference_mode(), residency.hold(recipe, "cpu", (InPlace(0.5),)) as module:
        assert not any(one.is_inference() for one in module.parameters())
    with residency.hold(Linear("a", (LowRank(Factors("f"), 1.0),)), "cpu") as module, torch.inference_mode():
        assert not any(one.is_inference() for one in module.parameters())
    with residency.hold(recipe, "cpu", (InPlace(0.25),)) as module:
        assert module.weight.equal(expected() + 0.25)


def test_branches_with_different_strengths_in_one_graph(engine: Engine) -> None:
    with Graph() as graph:
        weak, strong = PatchLinear(strength=0.25), PatchLinear(strength=1.5)
        for shift in range(3):
            graph.output(f"weak{shift}", ApplyLinear(weak, float(shift)))
            graph.output(f"strong{shift}", ApplyLinear(strong, float(shift)))
            graph.output(f"both{shift}", ApplyLinear(PatchLinear(weak, strength=1.5), float(shift)))
    outputs = engine.run(graph).outputs
    for shift in range(3):
        found = [outputs[f"{name}{shift}"] for name in ("weak", "strong", "both")]
        assert found == [applied(shift, 0.25), applied(shift, 1.5), applied(shift, 0.25, 1.5)]
    assert (counts["linear"], counts["factors"]) == (1, 1)


def test_a_hundred_calls_with_one_patch_enter_it_once_and_a_failure_leaves_nothing(engine: Engine) -> None:
    with Graph() as graph:
        layer = PatchLinear(strength=0.5)
        graph.output("bad", ApplyLinear(layer, -1.0, fails=True))
        for shift in range(100):
            graph.output(f"item{shift}", ApplyLinear(layer, float(shift)))
    result = engine.execute(engine.plan(graph))
    assert len(result.failures) == 1 and result.outputs["item7"] == applied(7.0, 0.5)
    assert counts["entered"] == 1
    assert engine.run_now(cast(NodeType, ApplyLinear), {"layer": PLAIN}) == applied(0.0)
    assert counts["undone"] == 1 and counts["linear"] == 1
