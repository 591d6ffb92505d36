"""Bad input is answered in one sentence."""

from collections.abc import Callable

import pytest

from freqkd_lite.errors import UserError


def refused(match: str, call: Callable, *given: object, **named: object) -> str:
    """What `call` with what is given says as it raises a `UserError`, which must be one line in
    which `match` is found."""
    with pytest.raises(UserError, match=match) as caught:
        call(*given, **named)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refusals(*cases: tuple, call: Callable | None = None) -> Callable:
    """A test for each (what is given, what the answer names): to `call`, or a call by itself."""

    @pytest.mark.parametrize(("given", "names"), cases)
    def test(given, names):
        if call is None:
            refused(names, given)
        else:
            refused(names, call, **given)

    return test
