"""Prompts of any form to token ids."""

from __future__ import annotations

from typing import Any

from backend.engines.base import ChatPrompt, Prompt, SoFar, TextPrompt, TokensPrompt
from backend.engines.detokenize import Detokenizer
from backend.errors import InvalidRequest, PromptTooLong


class PromptEncoder:
    """Encodes for one model. A model without chat template gets a conversation's contents joined by blank lines."""

    def __init__(self, tokenizer: Any, max_model_len: int, vocabulary: int) -> None:
        self._tokenizer = tokenizer
        self._max_model_len = max_model_len
        self._vocabulary = vocabulary
        self._token_chars_max = max((len(token) for token in tokenizer.get_vocab()), default=1)

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """At least one token, and room for one more in the context. Raises `InvalidRequest`, `PromptTooLong`."""
        if isinstance(prompt, TokensPrompt):
            ids = self._checked(prompt.token_ids, "prompt")
        elif isinstance(prompt, TextPrompt):
            ids = self._encoded(prompt.text, special=True)
        elif getattr(self._tokenizer, "chat_template", None):
            ids = self._encoded(self._rendered(prompt), special=False)
        else:
            ids = self._encoded("\n\n".join(message.content for message in prompt.messages), special=True)
        if not ids:
            ids = self._beginning()
        if len(ids) >= self._max_model_len:
            raise self._too_long(f"has {len(ids)}")
        return ids

    def encode_with_answer(self, prompt: Prompt, so_far: SoFar) -> tuple[tuple[int, ...], SoFar, Detokenizer]:
        """Prompt and answer so far, the latter by its token ids, and what turns the tokens behind it into text.

        Ids that do not make the text are not believed: the text was read by somebody, and is encoded instead.
        Raises as `encode` does; room for one more token is left behind both.
        """
        prompt_ids = self.encode(prompt)
        ids = self._fitting(prompt_ids, self._checked(so_far.token_ids, "continue_from"))
        detokenizer = Detokenizer(self._tokenizer, prompt_ids)
        if not detokenizer.resume(ids, so_far.text):
            ids = self._fitting(prompt_ids, self._encoded(so_far.text, special=False))
            detokenizer = Detokenizer(self._tokenizer, prompt_ids + ids)
        return prompt_ids, SoFar(so_far.text, ids), detokenizer

    def _fitting(self, prompt_ids: tuple[int, ...], ids: tuple[int, ...]) -> tuple[int, ...]:
        if len(prompt_ids) + len(ids) >= self._max_model_len:
            raise self._too_long(f"and the answer so far have {len(prompt_ids) + len(ids)}", "continue_from")
        return ids

    def _encoded(self, text: str, *, special: bool) -> tuple[int, ...]:
        # So long a text can't fit; encoding it would only make others wait.
        if len(text) > self._max_model_len * self._token_chars_max:
            raise self._too_long(f"has more than {len(text) // self._token_chars_max}")
        return tuple(self._tokenizer.encode(text, add_special_tokens=special))

    def _rendered(self, prompt: ChatPrompt) -> str:
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        try:
            text: str = self._tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=prompt.add_generation_prompt and not prompt.continue_final,
                continue_final_message=prompt.continue_final,
            )
        except Exception as error:  # a template is a program of the model's author and raises what it likes
            raise InvalidRequest(f"the model's chat template refuses this: {error}", param="messages") from None
        return text

    def _checked(self, token_ids: tuple[int, ...], param: str) -> tuple[int, ...]:
        if not all(0 <= token < self._vocabulary for token in token_ids):
            raise InvalidRequest(f"token ids go from 0 to {self._vocabulary - 1}", param=param)
        return token_ids

    def _beginning(self) -> tuple[int, ...]:
        """An empty text: where a model has a token to begin with, it may begin by itself."""
        for token in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if token is not None:
                return (token,)
        raise InvalidRequest("the prompt has no tokens", param="prompt")

    def _too_long(self, has_tokens: str, param: str = "prompt") -> PromptTooLong:
        return PromptTooLong(
            f"the prompt {has_tokens} tokens; the context of this model is {self._max_model_len} tokens, "
            "prompt and answer together",
            param=param,
        )
