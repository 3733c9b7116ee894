"""Joch frees an AI agent from its model provider. This is the front door: the only names a plug or a user may import.

Names are looked up on first use, so that `import joch_core` loads neither an SDK nor a framework nor pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joch_core.app.conversation import Conversation
    from joch_core.app.explain import Explanation
    from joch_core.app.joch import Joch
    from joch_core.app.reading import read_request
    from joch_core.app.run import Run
    from joch_core.app.settings import default_store_url
    from joch_core.app.streams import AsyncReplyStream, ReplyStream
    from joch_core.errors import (
        Attempt,
        BudgetExceeded,
        CallInProgress,
        ContextTooSmall,
        ConversationConflict,
        InvalidArgument,
        InvalidResource,
        JochError,
        KeyConflict,
        LedgerError,
        MigrationRefused,
        NoEligibleCandidate,
        NotExecuted,
        NotFound,
        OutcomeUnknown,
        PolicyDenied,
        ProviderError,
        RouteError,
        RouteExhausted,
        StoreError,
        StreamInterrupted,
    )
    from joch_core.messages import (
        Audio,
        Delta,
        File,
        Image,
        Json,
        Message,
        ModelRequest,
        Native,
        Other,
        Part,
        Reasoning,
        Reply,
        ServerTool,
        Text,
        ToolCall,
        ToolResult,
        ToolSpec,
        Usage,
        call_id,
        is_call_id,
        message_from_json,
        message_to_json,
    )
    from joch_core.migration.check import CheckReport
    from joch_core.resources.events import Event
    from joch_core.resources.model import Model
    from joch_core.resources.route import ModelRoute
    from joch_core.resources.tools import ToolDeclaration, declaration, tool
    from joch_core.stores import open_store
    from joch_core.stores.base import Store
    from joch_core.stores.guard_steps import ToolOutcome, current_key
    from joch_core.stores.ledger import Guard
    from joch_core.stores.threads import (
        GraphCheckpoint,
        GraphItems,
        GraphThread,
        GraphWrite,
        StoredCheckpoint,
        Threads,
    )

#: Where the names live, the cheapest room first.
_ROOMS = (
    "joch_core.errors",
    "joch_core.messages",
    "joch_core.app.settings",
    "joch_core.stores",
    "joch_core.stores.threads",
    "joch_core.resources.events",
    "joch_core.stores.base",
    "joch_core.migration.check",
    "joch_core.resources.tools",
    "joch_core.stores.ledger",
    "joch_core.stores.guard_steps",
    "joch_core.app.explain",
    "joch_core.resources.route",
    "joch_core.resources.model",
    "joch_core.app.run",
    "joch_core.app.conversation",
    "joch_core.app.reading",
    "joch_core.app.streams",
    "joch_core.app.joch",
)

__all__ = [
    "AsyncReplyStream",
    "Attempt",
    "Audio",
    "BudgetExceeded",
    "CallInProgress",
    "CheckReport",
    "ContextTooSmall",
    "Conversation",
    "ConversationConflict",
    "Delta",
    "Event",
    "Explanation",
    "File",
    "GraphCheckpoint",
    "GraphItems",
    "GraphThread",
    "GraphWrite",
    "Guard",
    "Image",
    "InvalidArgument",
    "InvalidResource",
    "Joch",
    "JochError",
    "Json",
    "KeyConflict",
    "LedgerError",
    "Message",
    "MigrationRefused",
    "Model",
    "ModelRequest",
    "ModelRoute",
    "Native",
    "NoEligibleCandidate",
    "NotExecuted",
    "NotFound",
    "Other",
    "OutcomeUnknown",
    "Part",
    "PolicyDenied",
    "ProviderError",
    "Reasoning",
    "Reply",
    "ReplyStream",
    "RouteError",
    "RouteExhausted",
    "Run",
    "ServerTool",
    "Store",
    "StoreError",
    "StoredCheckpoint",
    "StreamInterrupted",
    "Text",
    "Threads",
    "ToolCall",
    "ToolDeclaration",
    "ToolOutcome",
    "ToolResult",
    "ToolSpec",
    "Usage",
    "call_id",
    "current_key",
    "declaration",
    "default_store_url",
    "is_call_id",
    "message_from_json",
    "message_to_json",
    "open_store",
    "read_request",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("joch")
        except PackageNotFoundError:  # a source tree that was never installed
            return "0+unknown"
    if name in __all__:
        for room in _ROOMS:
            module = import_module(room)
            if hasattr(module, name):
                value = globals()[name] = getattr(module, name)
                return value
    raise AttributeError(f"module 'joch_core' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
