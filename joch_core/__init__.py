"""Joch frees an AI agent from its model provider. This is the front door: the only names a plug or a user may import.

Names are looked up on first use, so that `import joch_core` loads neither an SDK nor a framework nor pydantic.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
        Reasoning,
        Reply,
        ServerTool,
        Text,
        ToolCall,
        ToolResult,
        ToolSpec,
        Usage,
    )

_HOMES = {
    "joch_core.errors": (
        "Attempt", "BudgetExceeded", "CallInProgress", "ContextTooSmall", "ConversationConflict", "InvalidArgument",
        "InvalidResource", "JochError", "KeyConflict", "LedgerError", "MigrationRefused", "NoEligibleCandidate",
        "NotExecuted", "NotFound", "OutcomeUnknown", "PolicyDenied", "ProviderError", "RouteError", "RouteExhausted",
        "StoreError", "StreamInterrupted",
    ),
    "joch_core.messages": (
        "Audio", "Delta", "File", "Image", "Json", "Message", "ModelRequest", "Native", "Other", "Reasoning", "Reply",
        "ServerTool", "Text", "ToolCall", "ToolResult", "ToolSpec", "Usage",
    ),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604  the list is made of names
    "__version__",
    *sorted(_HOME_OF),
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        try:
            return version("joch")
        except PackageNotFoundError:  # a source tree that was never installed
            return "0+unknown"
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'joch_core' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return list(__all__)
