"""Run folders appear whole or not at all."""

import pytest

from freqkd_lite.store import check_place, run_key, whole_folder
from tests.refused import refused


def test_a_failed_run_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "run") as part:
        (part / "half.txt").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    with whole_folder(tmp_path / "run") as part:
        (part / "a.txt").write_text("a")
        assert not (tmp_path / "run").exists()
    assert (tmp_path / "run" / "a.txt").read_text() == "a"
    with whole_folder(tmp_path / "run") as part:
        (part / "b.txt").write_text("b")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["b.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_what_is_in_the_way_of_a_run_and_too_long_a_name_are_named(tmp_path):
    (tmp_path / "run").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for name in ("run", "link"):
        refused(f"{name} is a file", whole_folder(tmp_path / name).__enter__)
    refused("xxx/file .*shorten", check_place, tmp_path / ("x" * 300) / "file", False)


def test_the_key_depends_on_content_and_not_on_order():
    assert run_key({"a": 1, "b": [2]}) == run_key({"b": [2], "a": 1})
    assert run_key({"a": 1}) != run_key({"a": 2})
