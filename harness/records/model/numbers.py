"""The version of the schema, and numbers with a lower bound."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

SCHEMA_VERSION: Literal[2] = 2

Amount = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0)]
Number = Annotated[int, Meta(ge=1)]  # from 1
