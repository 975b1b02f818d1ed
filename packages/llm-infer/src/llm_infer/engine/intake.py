"""From a prompt and its parameters to a request that can run, or the reason why it never can."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Sequence

from llm_infer.engine.beam import BeamRequest
from llm_infer.engine.block_keys import BlockKeys, root_key
from llm_infer.engine.detokenizer import Decode
from llm_infer.engine.events import Sink
from llm_infer.engine.limits import EngineLimits
from llm_infer.engine.params import SamplingParams
from llm_infer.engine.positions import PrefixLayout
from llm_infer.engine.prefixes import Prefixes
from llm_infer.engine.request import Request, Work
from llm_infer.engine.rope import RopeChoice
from llm_infer.engine.sequence import Sequence as TokenSequence
from llm_infer.engine.speculation import Speculator
from llm_infer.errors import InferError, SamplingError


class Intake:
    """Makes requests with numbers from 0; any thread may call it. Arguments as `Engine`."""

    def __init__(
        self,
        limits: EngineLimits,
        prefixes: Prefixes,
        *,
        ending_ids: Iterable[int],
        decode: Decode | None,
        layout: PrefixLayout | None,
        prefix_cache: bool,
        speculate_ngram: int,
        adapters: Sequence[str] = (),
        rope: RopeChoice | None = None,
    ) -> None:
        self._limits = limits
        self._prefixes = prefixes
        self._endings = frozenset(ending_ids)
        self._decode = decode
        self.layout = layout
        # With a layout, what a token is depends on tokens behind it.
        self.prefix_cache = prefix_cache and layout is None
        self.speculate_ngram = speculate_ngram
        self.adapters = list(adapters)
        self._rope = rope
        self._numbers = itertools.count()

    def work(self, prompt_ids: Sequence[int], params: SamplingParams, sink: Sink) -> Work:
        """A request for the engine.

        Raises PromptTooLongError, SamplingError or InferError for what can never run.
        """
        prompt = [int(token_id) for token_id in prompt_ids]
        prefix_blocks = self._prefixes.find(params.prefix)
        ahead = prefix_blocks.tokens if prefix_blocks else 0
        new_tokens = self._limits.new_tokens(prompt, params, ahead)
        own = ahead % self._limits.block_size + len(prompt) + new_tokens
        self._limits.check_request(own, params)
        if params.stop and self._decode is None:
            message = "stop strings need a tokenizer, and this engine has none; use stop_token_ids."
            raise SamplingError(message)
        positions = self.layout.positions(prompt) if self.layout else None
        self._limits.check_prefix(positions.prefix if positions else 0)
        length = 0
        if self._rope is not None:
            length = ahead + self._rope.length(len(prompt), params.max_new_tokens)
        sequence = TokenSequence(
            next(self._numbers),
            prompt,
            len(prompt) + new_tokens,
            positions=positions,
            prefix_blocks=prefix_blocks,
            keys=self._keys(params, ahead, length),
            reads_all=params.prompt_logprobs is not None,
            slots=params.num_beams,
            adapter=self._adapter(params.adapter),
            rope_length=length,
        )
        return self._request(sequence, params, new_tokens, sink)

    def _adapter(self, name: str | None) -> int:
        """The number of an adapter. Raises InferError for a name that nobody loaded."""
        if name is None:
            return -1
        if name not in self.adapters:
            known = ", ".join(self.adapters) or "none is loaded"
            message = f"There is no adapter {name!r}; possible: {known}."
            raise InferError(message)
        return self.adapters.index(name)

    def _keys(self, params: SamplingParams, ahead: int, length: int) -> BlockKeys | None:
        if not self.prefix_cache:
            return None
        rope_kind = self._rope.kind(length) if self._rope else None
        root = root_key(params.prefix, params.adapter, rope_kind)
        return BlockKeys(root, self._limits.block_size, ahead)

    def _request(
        self, sequence: TokenSequence, params: SamplingParams, new_tokens: int, sink: Sink
    ) -> Work:
        ending = [*params.stop_token_ids, *(() if params.ignore_eos else self._endings)]
        timeout = params.timeout_s
        deadline = None if timeout is None else time.monotonic() + timeout
        if params.num_beams > 1:
            return BeamRequest(
                sequence,
                params,
                max_new_tokens=new_tokens,
                ending_ids=ending,
                decode=self._decode,
                sink=sink,
                deadline=deadline,
            )
        return Request(
            sequence,
            params,
            max_new_tokens=new_tokens,
            ending_ids=ending,
            decode=self._decode,
            sink=sink,
            deadline=deadline,
            speculator=Speculator(self.speculate_ngram) if self.speculate_ngram else None,
        )
