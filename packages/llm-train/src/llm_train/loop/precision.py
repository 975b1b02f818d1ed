"""Mixed precision: which numbers a step computes in, chosen from the recipe and the device.

Parameters, their gradients and the optimizer's state are float32 at every level, so checkpoints
and shares of processes are the same ones. What the levels change (names of Paddle's and of NVIDIA's
apex; the method is Micikevicius et al. 2018, arXiv:1710.03740):

    O1    matrix products and attention take 16-bit copies of what they multiply; the rest is
          float32, as Paddle's lists of operations say
    O2    the hidden states between the blocks are 16-bit numbers too

    precision = choose_precision(options, "gpu")
    precision.prepare(decoders)
    with precision.casting():
        logits = model(...)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from llm_kernels.paddle.flash import can_flash
from llm_train.errors import RecipeError

if TYPE_CHECKING:
    from llm_train.training_options import TrainingOptions

T = TypeVar("T")
_FLASH = (8, 0)
"""Compute capability from which on a GPU has the kernel."""


@dataclass(frozen=True)
class Precision:
    """`dtype` of products, "float32", "bfloat16" or "float16"; `stream`: of hidden states.

    `flash`: attention is by a kernel that holds no scores, in models that it computes.
    """

    dtype: str = "float32"
    stream: str = "float32"
    float32_operations: tuple[str, ...] = ()
    low_operations: tuple[str, ...] = ()
    flash: bool = False

    @property
    def mixed(self) -> bool:
        """Whether anything is computed in 16 bits."""
        return self.dtype != "float32"

    @property
    def scales_loss(self) -> bool:
        """Whether gradients may fall below what the numbers hold: float16's exponent is short."""
        return self.dtype == "float16"

    def casting(self) -> AbstractContextManager[Any]:
        """Around a forward pass; the loss and everything after it stay outside."""
        if not self.mixed:
            return nullcontext()
        import paddle

        context: AbstractContextManager[Any] = paddle.amp.auto_cast(
            level="O1",
            dtype=self.dtype,
            custom_black_list=set(self.float32_operations),
            custom_white_list=set(self.low_operations),
        )
        return context

    def __str__(self) -> str:
        """As a run's log and its checkpoints name it."""
        if not self.mixed:
            return self.dtype
        by = ", flash attention" if self.flash else ""
        return f"{self.dtype} products, {self.stream} hidden states{by}"

    def within(self, call: Callable[[], T]) -> Callable[[], T]:
        """`call`, done within `casting`."""

        def cast() -> T:
            with self.casting():
                return call()

        return cast

    def prepare(self, decoders: Iterable[Any]) -> None:
        """Have decoders keep their hidden states in `stream`, and attend as they can."""
        for decoder in decoders:
            decoder.stream = self.stream if self.mixed else None
            able = self.flash and can_flash(decoder.spec, decoder.sizes)
            decoder.flash = self.dtype if able else None


FULL = Precision()


def flashes(model: Any) -> bool:
    """Whether a model's attention is by FlashMask now."""
    return any(decoder.flash for decoder in getattr(model, "decoders", ()))


def choose_precision(options: TrainingOptions, device: str) -> Precision:
    """The precision of a run on `device`, "cpu" or "gpu".

    Paddle multiplies no 16-bit numbers on a CPU, so there it is float32 (see `in_float32`). Raises
    RecipeError where this GPU lacks the wished type.
    """
    dtype = wished_dtype(options)
    if dtype is None or device == "cpu":
        return FULL
    import paddle

    able = {
        "bfloat16": paddle.amp.is_bfloat16_supported,
        "float16": paddle.amp.is_float16_supported,
    }
    if not able[dtype]():
        message = (
            f"--{_OPTION[dtype]} true: this GPU does not compute in {dtype}. Set it to false"
            f"{', or --fp16 true instead' if dtype == 'bfloat16' else ''}."
        )
        raise RecipeError(message)
    return Precision(
        dtype,
        dtype if options.fp16_opt_level == "O2" else "float32",
        tuple(options.amp_custom_black_list or ()),
        tuple(options.amp_custom_white_list or ()),
        flash=options.use_flash_attention and paddle.device.cuda.get_device_capability() >= _FLASH,
    )


_OPTION = {"bfloat16": "bf16", "float16": "fp16"}


def wished_dtype(options: TrainingOptions) -> str | None:
    """The 16-bit type that the recipe asks for; None: none."""
    if options.fp16_opt_level == "O0":
        return None
    return next((dtype for dtype, name in _OPTION.items() if getattr(options, name)), None)


def in_float32(options: TrainingOptions, device: str) -> str | None:
    """A sentence where 16-bit training is asked for on a device that has none."""
    if wished_dtype(options) is None or device != "cpu":
        return None
    name = "bf16" if options.bf16 else "fp16"
    return (
        f"{name}: Paddle has no 16-bit products on a CPU, so this run trains in float32. Results "
        "are at least as exact."
    )


def without_flash(
    options: TrainingOptions, precision: Precision, decoders: Iterable[Any]
) -> str | None:
    """A sentence where flash attention is asked for and attention holds its scores all the same."""
    if not options.use_flash_attention:
        return None
    if not precision.flash:
        wanted = ".".join(map(str, _FLASH))
        reason = (
            f"the kernel runs on GPUs of compute capability {wanted} and above, on 16-bit numbers "
            "(--bf16 true)"
        )
    elif not any(can_flash(decoder.spec, decoder.sizes) for decoder in decoders):
        reason = "the kernel does not compute this model's attention"
    else:
        return None
    return f"use_flash_attention=True has no effect here: {reason}."
