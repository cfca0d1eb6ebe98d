"""What bodies are made of: a strict base model and kinds of text a field may hold (S-019, S-089, S-090)."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema

from dashtam.core import users

NAME_LENGTH = 100
TOKEN_LENGTH = 512

# C0 and C1 controls, line and paragraph separators, and everything that turns the reading direction.
_UNSEEN = r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_ONE_LINE = re.compile(rf"[^{_UNSEEN}]*\Z")


class Form(BaseModel):
    """A request body: no unknown fields, no conversions, no changes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class Message(BaseModel):
    """An answer that says in words what was done."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "What was done, in words."}]})

    message: str


def _one_line(text: str) -> str:
    if not _ONE_LINE.match(text):
        msg = "must be a single line without control or direction characters"
        raise ValueError(msg)
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        msg = "must not be blank"
        raise ValueError(msg)
    return text


def _address(text: str) -> str:
    users.canonical(text)
    return text


Name = Annotated[
    str,
    Field(min_length=1, max_length=NAME_LENGTH),
    AfterValidator(_one_line),
    AfterValidator(_not_blank),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": NAME_LENGTH,
            "pattern": rf"^[^{_UNSEEN}]*[^\s{_UNSEEN}][^{_UNSEEN}]*$",
            "examples": ["Ada Lovelace"],
        }
    ),
]
"""How a person is called: one line, 1 to 100 characters, not blank."""

Email = Annotated[
    str,
    AfterValidator(_address),
    WithJsonSchema(
        {
            "type": "string",
            "format": "email",
            "maxLength": users.ADDRESS_BYTES,
            "pattern": users.ADDRESS_PATTERN,
            "examples": ["ada@example.org"],
        }
    ),
]
"""An e-mail address as `users.canonical` takes it, kept as it was sent."""

Password = Annotated[
    SecretStr,
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "writeOnly": True,
            "examples": ["seven grey herons over the weir"],
        }
    ),
]
"""Any text at all; which passwords are good enough is the business of `core.passwords`."""

TokenText = Annotated[
    str,
    Field(min_length=1, max_length=TOKEN_LENGTH, repr=False),
    AfterValidator(_one_line),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": TOKEN_LENGTH,
            "pattern": rf"^[^{_UNSEEN}]*$",
            "examples": ["dot1_3q2-7wAAAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBk"],
        }
    ),
]
"""A token that somebody hands back to us. Whether it is one of ours is for its own module to say."""
