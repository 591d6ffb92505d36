"""Pages and README follow from results files, and change with them."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from freqkd_lite.results.findings import claims_table, findings_list, read_claims, read_findings
from freqkd_lite.results.pages import ReportPage, problems
from freqkd_lite.results.rows import write_results
from freqkd_lite.results.text import block_marks
from freqkd_lite.runner.report import share_style, write_page, write_pages, write_readme
from tests.refused import refused
from tests.rows import row

ROOT = Path(__file__).parents[2]
MADE = {"command": "freqkd sweep x", "versions": {"torch": "2.9"}, "weights": "abc"}


def rows(value):
    return [row("none", 0.25, (0.2, 0.3)), row("mse", value, (value - 0.05, value + 0.05))]


def test_a_page_follows_from_the_results_and_changes_with_them(tmp_path):
    mine = tmp_path / "mine"
    write_results(mine, rows(0.75), MADE)
    write_pages(tmp_path)
    made = {path.name: path.read_bytes() for path in mine.iterdir()}
    page = made["README.md"].decode()
    for word in ("0.750 [0.700, 0.800]", "(figure.png)", "`freqkd sweep x`", "torch 2.9", "abc"):
        assert word in page
    assert "(mine/README.md)" in (tmp_path / "README.md").read_text()
    write_pages(tmp_path)
    assert made == {path.name: path.read_bytes() for path in mine.iterdir()}
    write_results(mine, rows(0.26), MADE)
    write_pages(tmp_path)
    assert "0.750" not in (mine / "README.md").read_text()
    assert (mine / "figure.png").read_bytes() != made["figure.png"]


def test_what_a_person_wrote_around_the_generated_part_stays(tmp_path):
    write_results(tmp_path, rows(0.75), MADE)
    page, (first, last) = tmp_path / "README.md", block_marks("results")
    page.write_text(f"How it grew.\n{first}\nold\n{last}\nThe end.\n")
    write_page(tmp_path)
    text = page.read_text()
    assert text.startswith("How it grew.\n") and text.endswith("The end.\n") and "old" not in text
    page.write_text("my own words")
    refused("README.md", write_page, tmp_path)
    write_results(tmp_path, [], MADE)
    refused(r"results\.json .*rows", write_page, tmp_path)


def test_pages_of_folders_share_a_style_sheet_that_lies_beside_them(tmp_path):
    page = ReportPage("Do they agree?", "Yes.")
    alone = page.write(tmp_path / "mine" / "index.html").read_text()
    for _ in range(2):  # the second time nothing is left to do
        share_style(tmp_path)
        shared = (tmp_path / "mine" / "index.html").read_text()
        (link,) = re.findall('<link rel="stylesheet" href="(.*?)">', shared)
        style = (tmp_path / "mine" / link).read_text()
        inside, beside = f"<style>\n{style}\n</style>", f'<link rel="stylesheet" href="{link}">'
        assert shared == alone.replace(inside, beside)
    assert problems(shared) == []


def test_readme_has_the_first_findings_and_the_claims(tmp_path):
    write_results(tmp_path / "mine", rows(0.75), MADE)
    number = {"file": "mine/results.json", "method": "mse"}
    finding = {"text": "AP is {ap}.", "numbers": {"ap": number}, "holds": "ap > 0.5"}
    both = [finding | {"id": "a", "first": True}, finding | {"id": "b", "text": "Later {ap}."}]
    (tmp_path / "findings.yaml").write_text(yaml.safe_dump(both))
    readme, blocks = tmp_path / "README.md", [*block_marks("findings"), *block_marks("claims")]
    readme.write_text("\n".join(["before", *blocks, "after\n"]))
    write_readme(readme, tmp_path)
    text = readme.read_text()
    assert "- AP is 0.75 [0.70, 0.80]." in text and "Later" not in text
    write_results(tmp_path / "mine", rows(0.4), MADE)
    refused("finding a", write_readme, readme, tmp_path)
    assert readme.read_text() == text  # nothing false is written
    (tmp_path / "findings.yaml").unlink()
    readme.write_text("no marks")
    refused("findings", write_readme, readme, tmp_path)


def test_the_committed_findings_hold_and_stand_in_the_pages():
    """Of the committed differences; `make report` computes these from the files of images."""
    found = read_findings(ROOT / "results")
    assert len(found) <= 8 and sum(finding.first for finding in found) == 4
    readme = (ROOT / "README.md").read_text()
    assert findings_list([finding for finding in found if finding.first]) in readme
    assert claims_table(read_claims(ROOT / "results")) in readme
    assert findings_list(found) in (ROOT / "results" / "README.md").read_text()


@pytest.mark.parametrize("name", ["mfnet", "distillation_length"])  # the latter without its images
def test_the_page_of_a_small_committed_folder_is_up_to_date(name, tmp_path):
    committed = ROOT / "results" / name
    folder = tmp_path / committed.name
    shutil.copytree(committed, folder)
    own = [f for f in read_findings(ROOT / "results") if committed.name in f.folders]
    write_page(folder, own)
    for name in ("README.md", "table.csv"):
        assert (folder / name).read_text() == (committed / name).read_text(), "freqkd report"
