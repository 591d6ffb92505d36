import pytest

from freqkd_lite import data
from tests.survivor import Noise


@pytest.fixture(autouse=True, scope="module")
def noise():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(data.REGISTRY, "noise", Noise)
        yield
