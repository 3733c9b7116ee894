"""Keys and tokens never reach a message, a log, a trace or the store: what looks like one is replaced here. Pure."""

from __future__ import annotations

import re

MASK = "[redacted]"

#: The shapes of the providers' keys, of bearer tokens, and of key parameters in URLs.
_SECRETS = re.compile(
    r"""
      \b(?:sk|pk|rk|gsk|xai|hf|r8|sess)[-_][A-Za-z0-9_\-]{8,}      # OpenAI, Anthropic, Groq, xAI, Hugging Face, …
    | \bAIza[0-9A-Za-z_\-]{20,}                                    # Google
    | \bAKIA[0-9A-Z]{16}\b                                         # AWS
    | \bya29\.[0-9A-Za-z_\-]+                                      # Google OAuth
    | \beyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]*  # JSON web tokens
    | (?<=[?&]key=)[^&\s"']+ | (?<=api_key=)[^&\s"']+
    | (?i:(?<=bearer\s))[A-Za-z0-9._~+/\-]{6,}=*
    | (?i:(?<=basic\s))[A-Za-z0-9+/]{12,}=*
    | (?<=://)[^/\s:@]+:[^/\s@]+(?=@)                               # user:password@ in a URL
    """,
    re.VERBOSE,
)


def redact(text: str, *secrets: str | None) -> str:
    """The text without anything that looks like a key, and without the given secrets themselves."""
    for secret in secrets:
        if secret and len(secret) >= 4:  # noqa: PLR2004  shorter ones would mangle ordinary words
            text = text.replace(secret, MASK)
    return _SECRETS.sub(MASK, text)
