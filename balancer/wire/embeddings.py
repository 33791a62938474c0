"""Embeddings in the OpenAI dialect, for the embedder of our own: the request read, the answer written.

A request that goes to a backend is not read at all.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from balancer.wire.errors import RemoteProtocolError

TEXTS_MAX: Final = 2048
"""Texts in one request, as many as OpenAI takes."""
TEXT_MAX_BYTES: Final = 16 << 10
"""One text, in UTF-8."""
_FORMATS: Final = ("float", "base64")


def texts_in(body: dict[str, Any], dimension: int | None) -> list[str]:
    """The texts to embed, at least one. ``dimension``: of the vectors there are (``None``: not known yet).

    Raises `RemoteProtocolError` for what this embedder cannot do; what has no bearing on a vector is not looked at.
    """
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise RemoteProtocolError("invalid_input", '"input" must be a string or a list of strings')
    if len(texts) > TEXTS_MAX:
        raise RemoteProtocolError("too_many_inputs", f"more than {TEXTS_MAX} texts in one request")
    for text in texts:
        _check(text)
    if body.get("encoding_format") not in (None, *_FORMATS):
        raise RemoteProtocolError("invalid_encoding_format", '"encoding_format" must be "float" or "base64"')
    wanted = body.get("dimensions")
    if wanted is not None and (type(wanted) is not int or dimension not in (None, wanted)):
        raise RemoteProtocolError("invalid_dimensions", f'"dimensions" can only be {dimension or "those of the model"}')
    return texts


def _check(text: object) -> None:
    if not isinstance(text, str):
        message = '"input" must be text here: the tokens of another model say nothing to this one'
        raise RemoteProtocolError("invalid_input", message)
    if not text or text.isspace():
        raise RemoteProtocolError("empty_input", '"input" must not be empty')
    if len(text) > TEXT_MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > TEXT_MAX_BYTES:
        raise RemoteProtocolError("input_too_long", f"a text of more than {TEXT_MAX_BYTES} bytes")


def embedding_text(vector: bytes, *, as_base64: bool) -> bytes:
    """A vector, little-endian float32, as it stands in an answer."""
    if as_base64:
        return b'"%b"' % base64.b64encode(vector)
    return msgspec.json.encode(struct.unpack(f"<{len(vector) // 4}f", vector))


def embeddings_body(embeddings: Sequence[bytes], model: str, tokens: int) -> bytes:
    """The answer: each vector as `embedding_text` wrote it, in the order of the texts; ``tokens`` were read in all.

    They are written one by one as they come, since writing thousands at a time would hold up everything else.
    """
    data = [b'{"object":"embedding","index":%d,"embedding":%b}' % numbered for numbered in enumerate(embeddings)]
    usage = msgspec.json.encode({"prompt_tokens": tokens, "total_tokens": tokens})
    name = msgspec.json.encode(model)
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (b",".join(data), name, usage)
