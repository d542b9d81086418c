"""Which of the two languages to speak."""

from dataclasses import dataclass
from typing import Any, Literal

Language = Literal["en", "ko"]


@dataclass(frozen=True)
class Message:
    """A sentence in both languages."""

    en: str
    ko: str

    def in_(self, language: Language) -> str:
        return self.en if language == "en" else self.ko

    def with_(self, **values: Any) -> "Message":
        """The sentence with its blanks filled; what is Said itself, in the language of each."""

        def filled(language: Language) -> str:
            own = {key: value.in_(language) if isinstance(value, Message) else value for key, value in values.items()}
            return self.in_(language).format(**own)

        return Message(filled("en"), filled("ko"))
