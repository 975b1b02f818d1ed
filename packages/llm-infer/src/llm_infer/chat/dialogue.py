"""A conversation with a model: its rounds, the prompts they make, the answers as they come."""

from __future__ import annotations

from collections.abc import Generator

from llm_data.chat_template import from_rounds
from llm_infer.engine import FinishReason, Stream
from llm_infer.errors import PromptTooLongError
from llm_infer.predict.session import Session, check_rounds


class Dialogue:
    """Rounds of questions and answers over a session.

    Raises UnsupportedError where the model has no chat template: rounds need one.
    """

    def __init__(self, session: Session, system: str | None = None) -> None:
        check_rounds(session.prompts.template)
        self._session = session
        self._system = system
        self._asked: list[str] = []
        self._answers: list[str] = []
        self._number = 0
        self.left_out = 0
        """Rounds that were left out of the last prompt, as the conversation is too long."""
        self.finish: FinishReason | None = None
        """Why the last answer ended."""

    def reset(self) -> None:
        """Forget all rounds."""
        self._asked.clear()
        self._answers.clear()

    def ask(self, question: str) -> Generator[str, None, None]:
        """The pieces of the answer to `question`, which then joins the rounds.

        A reader that stops early (closes the iterator, or is interrupted) stops the model; what it
        has said until then stays. Raises PromptTooLongError for a question that does not fit alone.
        """
        stream = self._submit(question)
        pieces: list[str] = []
        try:
            for event in stream:
                self.finish = event.finish_reason
                pieces.append(event.text)
                yield event.text
        finally:
            if self.finish is None:
                stream.cancel()
                self.finish = FinishReason.ABORT
            self._asked.append(question)
            self._answers.append("".join(pieces))

    def _submit(self, question: str) -> Stream:
        self.finish = None
        ids = self._prompt(question)
        params = self._session.params(len(ids), self._number)
        stream = self._session.engine.submit(ids, params)
        self._number += 1
        return stream

    def _prompt(self, question: str) -> list[int]:
        """Token ids of the conversation, its first rounds left out until it fits."""
        first = 0
        while True:
            asked, answers = [*self._asked[first:], question], self._answers[first:]
            conversation = from_rounds(asked, answers, system=self._system)
            try:
                ids = self._session.prompts.conversation(conversation)
            except PromptTooLongError:
                if first == len(self._asked):
                    raise
                first += 1
            else:
                self.left_out = first
                return ids
