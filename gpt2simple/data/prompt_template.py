"""How a conversation is written as text: what the model reads, and where it is to go on.

The text up to a completion, marks included, is one string, the completion with its end another. Each is encoded by
itself, in training as in use, so that no token lies across the boundary: encode(prompt) + encode(completion) is in
general not encode(prompt + completion). Every mark before a completion ends in a single line end after something
visible, where GPT-2's tokenizer parts words in any case: programs that encode the joined text get the same ids, unless
the completion begins with several line ends. After two line ends they would not: at the end of a text these are one
token, 628, before a word two. The marks are ordinary text, so that the vocabulary stays GPT-2's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from gpt2simple.errors import DataError
from gpt2simple.settings.fields import misfit
from gpt2simple.settings.pairs import DEFAULT_SEPARATOR, END_OF_TEXT
from gpt2simple.storage.contents import quoted

SYSTEM, USER, ASSISTANT = ROLES = ("system", "user", "assistant")


ONE_MESSAGE = (
    "the template of the model has no marks for roles, so that it writes one message of the user, and this is a "
    "conversation."
)


class Message(NamedTuple):
    """A turn of a conversation; its role is system, user or assistant."""

    role: str
    content: str


def last_message(messages: Sequence[Message]) -> str:
    """What a prompt asks, for people: its last message; "" where the assistant speaks first."""
    return messages[-1].content if messages else ""


@dataclass(frozen=True, kw_only=True)
class PromptTemplate:
    """How a conversation is written as text.

    A system or user message is its mark and its content, after ``between`` unless it comes first; an assistant's is
    its mark and its content.

    Attributes:
        name: "plain", "chat" or "alpaca".
        system, user, assistant: the mark before a message of each role; the last opens what the model is to write.
        end: what ends a completion.
        between: what stands before all but the first system or user message.
        preamble: what a conversation begins with that has no system message; ``preamble_with_input``: the same where
            its first message holds ``input``, the mark of the text that an instruction is about.
    """

    name: str
    system: str
    user: str
    assistant: str
    end: str
    between: str = "\n\n"
    preamble: str = ""
    preamble_with_input: str = ""
    input: str = ""

    @property
    def stop(self) -> tuple[str, ...]:
        """The strings at which a completion ends; the end-of-text token ends it without one."""
        return () if self.end == END_OF_TEXT else (self.end,)

    def takes(self, messages: Sequence[Message | Mapping[str, str]]) -> bool:
        """Whether it keeps the messages of a prompt and their roles apart; see ``ONE_MESSAGE``."""
        roles = [each[0] if isinstance(each, tuple) else each["role"] for each in messages]
        return bool(self.user) or roles == [USER]

    def prompt_of(self, messages: Iterable[Message | Mapping[str, str]]) -> str:
        """The text up to where the assistant is to write.

        Args:
            messages: as ``Message``, or as dicts with role and content.

        Raises:
            DataError: a role is unknown.
        """
        parts = []
        for number, message in enumerate(messages):
            role, content = message if isinstance(message, tuple) else (message["role"], message["content"])
            if role not in ROLES:
                raise DataError(f"Message {number} has the role {quoted(role)}; expected {', '.join(ROLES)}.")
            if role != ASSISTANT and number:
                parts.append(self.between)
            elif role == USER:
                parts.append(self.preamble_with_input if self.input and self.input in content else self.preamble)
            parts += [getattr(self, role), content]
        return "".join([*parts, self.assistant])

    def chat_template(self) -> str:
        """The template in Jinja, for chat_template.jinja: transformers and llama.cpp write the same prompts with it.

        A conversation that ends with the assistant's message, and is not to be continued, gets the end after it.
        """
        first = f"{{{{ {_literal(self.preamble)} }}}}"
        if self.input:
            holds = f"{_literal(self.input)} in message['content']"
            with_input = f"{{{{ {_literal(self.preamble_with_input)} }}}}"
            first = f"{{% if {holds} %}}{with_input}{{% else %}}{first}{{% endif %}}"
        return (
            "{% for message in messages %}"
            "{% if message['role'] == 'assistant' %}"
            f"{{{{ {_literal(self.assistant)} + message['content'] }}}}"
            f"{{% if loop.last and not add_generation_prompt %}}{{{{ {_literal(self.end)} }}}}{{% endif %}}"
            "{% else %}"
            f"{{% if not loop.first %}}{{{{ {_literal(self.between)} }}}}"
            f"{{% elif message['role'] == 'user' %}}{first}{{% endif %}}"
            f"{{% if message['role'] == 'system' %}}{{{{ {_literal(self.system)} }}}}"
            f"{{% else %}}{{{{ {_literal(self.user)} }}}}{{% endif %}}"
            "{{ message['content'] }}"
            "{% endif %}"
            "{% endfor %}"
            f"{{% if add_generation_prompt %}}{{{{ {_literal(self.assistant)} }}}}{{% endif %}}"
        )

    def to_json(self) -> dict[str, str]:
        """For run.json; ``template_from_json`` reads it."""
        return asdict(self)


def template_from_json(values: Mapping[str, Any]) -> PromptTemplate:
    """The template that ``to_json`` wrote; names unknown to this version are left out.

    Raises:
        DataError: a value is missing or no text.
    """
    known = {name: values[name] for name in PromptTemplate.__dataclass_fields__ if name in values}
    try:
        if (wrong := misfit(PromptTemplate, known)) is None:
            return PromptTemplate(**known)
        problem = f"its {wrong} is {quoted(known[wrong])}, and expected is text"
    except TypeError:
        problem = f"it has only {', '.join(known) or 'unknown names'}"
    raise DataError(f"The prompt template is damaged: {problem}. Restore the file that holds it, or train again.")


def plain_template(separator: str = DEFAULT_SEPARATOR, end: str = END_OF_TEXT) -> PromptTemplate:
    """Prompt and completion, with a separator between them."""
    return PromptTemplate(name="plain", system="", user="", assistant=separator, end=end)


def chat_template(end: str = END_OF_TEXT) -> PromptTemplate:
    """A heading before each message."""
    return PromptTemplate(
        name="chat", system="### System:\n", user="### User:\n", assistant="\n\n### Assistant:\n", end=end
    )


_ALPACA_INPUT = "\n\n### Input:\n"


def alpaca_template(end: str = END_OF_TEXT) -> PromptTemplate:
    """The prompt of Stanford's Alpaca; a system message takes the place of its first sentences."""
    asks = "Write a response that appropriately completes the request.\n\n"
    return PromptTemplate(
        name="alpaca",
        system="",
        user="### Instruction:\n",
        assistant="\n\n### Response:\n",
        end=end,
        preamble=f"Below is an instruction that describes a task. {asks}",
        preamble_with_input="Below is an instruction that describes a task, paired with an input that provides further "
        f"context. {asks}",
        input=_ALPACA_INPUT,
    )


def alpaca_message(instruction: str, input_text: str = "") -> Message:
    """An instruction, and the text that it is about, as a user's message."""
    return Message(USER, f"{instruction}{_ALPACA_INPUT}{input_text}" if input_text.strip() else instruction)


def _literal(text: str) -> str:
    """A string in Jinja's spelling."""
    return json.dumps(text, ensure_ascii=False)
