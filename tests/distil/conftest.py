import pytest

from freqkd_lite import data
from freqkd_lite.distil import CachedTeacher
from tests.survivor import Noise


@pytest.fixture(autouse=True, scope="module")
def noise():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(data.REGISTRY, "noise", Noise)
        yield


@pytest.fixture
def computed(monkeypatch):
    """Grows with each view that a cached teacher computes itself."""
    seen, real = [], CachedTeacher._compute
    monkeypatch.setattr(CachedTeacher, "_compute", lambda *of: seen.append(1) or real(*of))
    return seen
