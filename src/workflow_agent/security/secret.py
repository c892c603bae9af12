"""A value that does not show itself."""

from __future__ import annotations

import hmac
from typing import Any, ClassVar, Final, NoReturn, final

__all__ = ["HIDDEN", "MAX_BYTES", "MIN_CHARACTERS", "Secret"]

#: What stands where a secret was.
HIDDEN: Final = "***"
#: A shorter value would be found in innocent text, and is guessed from what is left when it is masked.
MIN_CHARACTERS: Final = 8
MAX_BYTES: Final = 16 * 1024


@final
class Secret:
    """A text that no ``repr``, ``str``, format, pickle or JSON shows; :meth:`reveal` gives it.

    Comparing takes the same time wherever two values differ. It cannot be hashed, changed or pickled. This keeps a
    value from being shown by mistake; code that wants it gets it, and the memory of the process holds it.

    Raises:
        ValueError: the value is too short or too long, empty at its ends, or no text; the sentence completes
            "the secret ..." and never repeats the value.
    """

    __slots__ = ("_value",)
    __hash__: ClassVar[None]  # type: ignore[assignment]  # unhashable, as lists are

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_value", _checked(value))

    def reveal(self) -> str:
        """Give the value. Whoever calls this answers for where it goes."""
        value: str = object.__getattribute__(self, "_value")
        return value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        del spec  # a width or a precision could tell something of the value
        return HIDDEN

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a secret cannot be changed")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a secret cannot be changed")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:  # Any: as copy has it
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret cannot be pickled")


def _checked(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError("a secret is a text")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError("is not valid Unicode text") from None
    if size > MAX_BYTES:
        raise ValueError(f"is longer than {MAX_BYTES // 1024} KiB")
    if "\0" in value:
        raise ValueError("contains a NUL character")
    if len(value.strip()) < MIN_CHARACTERS:
        raise ValueError(f"has fewer than {MIN_CHARACTERS} characters, too few to be masked reliably in output")
    return value
