from __future__ import annotations

import pickle

import pytest
from langchain_core import exceptions as langchain
from langchain_joch.errors import for_langchain

from joch_core import (
    Attempt,
    BudgetExceeded,
    ContextTooSmall,
    JochError,
    NoEligibleCandidate,
    OutcomeUnknown,
    PolicyDenied,
    ProviderError,
    RouteExhausted,
)


@pytest.mark.parametrize(
    ("error", "meaning", "retryable"),
    [
        (ProviderError("rate_limit", "x"), langchain.ModelRateLimitError, True),
        (ProviderError("quota", "x"), langchain.ModelRateLimitError, False),
        (ProviderError("overloaded", "x"), langchain.ModelAPIError, True),
        (ProviderError("timeout", "x"), langchain.ModelTimeoutError, True),
        (ProviderError("connection", "x"), langchain.ModelConnectionError, True),
        (ProviderError("authentication", "x"), langchain.ModelAuthenticationError, False),
        (ProviderError("permission", "x"), langchain.ModelPermissionDeniedError, False),
        (ProviderError("not_found", "x"), langchain.ModelNotFoundError, False),
        (ProviderError("invalid_request", "x"), langchain.ModelInvalidRequestError, False),
        (ProviderError("context_length", "x"), langchain.ContextOverflowError, False),
        (
            RouteExhausted("x", attempts=[Attempt("a:b", "timeout"), Attempt("c:d", "overloaded")]),
            langchain.ModelAPIError,
            True,
        ),
        (RouteExhausted("x", attempts=[Attempt("a:b", "quota")]), langchain.ModelRateLimitError, False),
        (ContextTooSmall("x"), langchain.ContextOverflowError, False),
        (NoEligibleCandidate("x"), langchain.ModelNotFoundError, False),
        (PolicyDenied("x"), langchain.ModelPermissionDeniedError, False),
        (BudgetExceeded("x"), langchain.ModelError, False),
    ],
)
def test_an_error_is_joch_and_langchain_at_once(
    error: JochError, meaning: type[langchain.ModelError], retryable: bool
) -> None:
    both = for_langchain(error)

    assert isinstance(both, type(error))
    assert isinstance(both, meaning)
    assert both.is_retryable is retryable
    assert (both.message, both.kind, both.attempts) == (error.message, error.kind, error.attempts)


def test_such_an_error_survives_a_process_boundary() -> None:
    both = for_langchain(ProviderError("rate_limit", "slow down", backend="openai:a", retry_after_s=3))

    again = pickle.loads(pickle.dumps(both))

    assert type(again) is type(both)
    assert (again.backend, again.retry_after_s, again.message) == ("openai:a", 3, "slow down")


def test_an_error_about_no_model_call_stays_as_it_is() -> None:
    error = OutcomeUnknown("x", key="k")

    assert for_langchain(error) is error
    assert for_langchain(for_langchain(ProviderError("quota", "x"))) is not None
