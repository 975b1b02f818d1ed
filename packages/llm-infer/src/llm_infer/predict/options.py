"""The options of `llm infer predict`."""

from __future__ import annotations

from dataclasses import dataclass

from llm_cli.options import flag, option
from llm_infer.bounds import check_bounds
from llm_infer.errors import UnsupportedError
from llm_infer.options.run import RunOptions

_INPUT = "Prompts and answers"
OUTPUT_FILE = "output.json"


@dataclass(kw_only=True)
class PredictOptions(RunOptions):
    """Answer a prompt on the terminal, or every line of a data file.

    Without --data_file the answer to --prompt, or to the text on standard input, is streamed to
    the terminal. With --data_file, lines {"src", "tgt"} become lines {"src", "tgt", "output"}; a
    run that was killed goes on where it stopped.
    """

    prompt: list[str] = option(
        [],
        help="Prompt to answer; repeat it for several. '-' reads standard input.",
        group=_INPUT,
    )
    data_file: str | None = option(
        None, help='Lines {"src", "tgt"} to answer; src may be a list of rounds.', group=_INPUT
    )
    output_file: str = option(
        OUTPUT_FILE,
        help="Where the answers to --data_file, or the figures of --benchmark, go.",
        group=_INPUT,
    )
    overwrite: bool = flag(False, help="Replace an --output_file that is there.", group=_INPUT)
    batch_size: int = option(1, help="Most prompts that are answered at once.", group=_INPUT)
    truncate: str | None = option(
        None,
        help="Cut prompts longer than src_length on this side instead of refusing them.",
        choices=("left", "right"),
        group=_INPUT,
    )
    stream: bool = flag(True, help="Show answers on the terminal as they come.", group=_INPUT)
    benchmark: bool = flag(
        False,
        help="Fill prompts to src_length, decode to max_length with batch_size sequences, and "
        "write figures to output_file.",
        group=_INPUT,
    )

    def __post_init__(self) -> None:
        """Check what the types cannot say; the errors name the option."""
        super().__post_init__()
        check_bounds(self, {"batch_size": 1}, UnsupportedError)
        if self.use_fake_parameter and not self.benchmark:
            message = (
                "--use_fake_parameter makes answers of random weights, which mean nothing; it is "
                "for --benchmark. Add that, or leave it out."
            )
            raise UnsupportedError(message)
