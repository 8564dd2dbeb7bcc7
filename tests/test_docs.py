"""Links of the Markdown files, the accuracy table of the README, and what the documentation site is made from."""

import re
import shlex
from pathlib import Path

import commands
import pytest

from benchmarks import plan
from docs import command_reference
from nr_vqm import command_line

ROOT = Path(__file__).parent.parent
GENERATED = {"docs/commands.md"}  # make docs writes it
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "nr_vqm/**/*.md")
    for path in ROOT.glob(pattern)
    if path.relative_to(ROOT).as_posix() not in GENERATED
)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def without_code(text):
    """Remove fenced and indented blocks and code spans, in which brackets are not links."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(text):
    """Return the anchors of the headings, as GitHub and MkDocs form them."""
    headings = re.findall(
        r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
    )
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def broken_links(page, text):
    """Return the relative links of a page that lead nowhere."""
    broken = []
    for address in LINK.findall(without_code(text)):
        if re.match(r"[a-z]+:", address):
            continue
        name, _, anchor = address.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        if target.resolve().is_relative_to(ROOT) and target.resolve().relative_to(ROOT).as_posix() in GENERATED:
            continue
        content = text if not name else target.read_text() if target.suffix == ".md" and target.is_file() else ""
        if not target.exists() or (anchor and anchor not in anchors(content)):
            broken.append(address)
    return broken


@pytest.mark.parametrize("page", PAGES)
def test_every_relative_link_and_anchor_leads_somewhere(page):
    assert broken_links(page, (ROOT / page).read_text()) == []


def test_a_broken_link_is_found():
    text = "# A heading, `here`\n[a](README.md) [b](none.md) [c](#a-heading-here) [d](#none) [e](https://x.org/none)\n"
    text += "`[f](none)` and\n\n    [g](none)\n"
    assert broken_links("README.md", text) == ["none.md", "#none"]


def test_every_page_of_the_documentation_is_in_its_navigation_or_linked():
    navigation = re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text())
    for name in navigation:
        assert f"docs/{name}" in GENERATED or (ROOT / "docs" / name).is_file(), name
    linked = set()
    for page in (ROOT / "docs").rglob("*.md"):
        for address in LINK.findall(without_code(page.read_text())):
            linked.add((page.parent / address.partition("#")[0]).resolve())
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").as_posix()
        assert name in navigation or page.resolve() in linked, f"{name} is neither in mkdocs.yml nor linked"


def test_make_plan_knows_the_number_of_videos_in_every_example():
    pages = {page: (ROOT / page).read_text() for page in PAGES}
    lines = [(page, line) for page, text in pages.items() for line in re.findall(r"^ {4}make (plan .*)$", text, re.M)]
    assert "docs/own_database.md" in {page for page, _ in lines}
    for _, line in lines:
        ((module, arguments),) = commands.of_make(*shlex.split(line, comments=True))
        args = plan._parser().parse_args(arguments)
        assert module == "benchmarks.plan"
        assert args.videos or plan.known_videos(args.database, command_line.preset_from(args, database=args.database))


def test_the_command_reference_has_the_help_texts():
    text = command_reference.help_text("nr_vqm score")
    assert text.startswith("usage:") and "--html" in text
    page = command_reference.page({"nr_vqm score": text})
    assert "## nr-vqm score\n\n```text\nusage:" in page
    with pytest.raises(ValueError, match="must print its usage"):
        command_reference.help_text("this")  # a module that is no command


def test_the_command_reference_is_complete():
    usage = command_reference.help_text("nr_vqm")
    names = re.findall(r"^ {4}(\w+)", usage.partition("COMMAND\n")[2].partition("options:")[0], re.MULTILINE)
    assert len(names) > 5
    assert {f"nr_vqm {command}" for command in names} <= set(command_reference.COMMANDS)
    modules = {name.split()[0] for name in command_reference.COMMANDS}
    thin = [path for path in (ROOT / "experiments").glob("*.py") if 'if __name__ == "__main__"' in path.read_text()]
    assert {f"experiments.{path.stem}" for path in thin} <= modules


def test_the_figures_of_the_concepts_exist_and_have_a_description():
    figures = re.findall(r"!\[([^\]]+)\]\(figures/(\w+)\.svg\)", (ROOT / "docs/concepts.md").read_text())
    assert {name for _, name in figures} == {"clips", "shared_trunk", "heads", "splits"}
    for description, name in figures:
        text = (ROOT / f"docs/figures/{name}.svg").read_text()
        assert len(description) > 20 and "<text" in text and "currentColor" in text


FIGURES = ("SROCC", "PLCC", "RMSE")


def tables(text):
    """Return the tables of a page as lists of rows, each a dict by column title; marks of Markdown are removed."""
    found, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([re.sub(r"[`*]", "", cell).strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            found.append([dict(zip(rows[0], row, strict=False)) for row in rows[2:]])
            rows = []
    return found


def accuracies(text):
    """Return {(figure, number as printed): names} of all rows of the tables with a column of FIGURES."""
    found = {}
    for row in (row for table in tables(text) for row in table):
        for figure in FIGURES:
            number = re.match(r"-?\d*\.\d+", row.get(figure, ""))
            if number:
                found.setdefault((figure, float(number[0])), set()).add(next(iter(row.values())))
    return found


def unfounded(readme, results):
    """Return the figures of the README's tables that no row of the same method in docs/results.md has."""
    known = accuracies(results)
    return [
        (name, figure, number)
        for (figure, number), names in accuracies(readme).items()
        for name in names
        if not any(name.lower() in other.lower() for other in known.get((figure, number), ()))
    ]


def test_the_accuracies_of_the_readme_are_those_of_the_results():
    readme = (ROOT / "README.md").read_text()
    if not accuracies(readme):
        pytest.fail("the README has no table of accuracies")
    assert unfounded(readme, (ROOT / "docs/results.md").read_text()) == []


def test_a_wrong_accuracy_is_found():
    results = "| head | SROCC | PLCC |\n|-|-|-|\n| `lstm`: 3D-CNN + LSTM | 0.863 [0.830, 0.888] | 0.893 |\n"
    results += "| NIQE | .716 | |\n"
    assert unfounded("| method | SROCC |\n|-|-|\n| **3D-CNN + LSTM** | 0.863 |\n| NIQE | 0.716 |\n", results) == []
    readme = "| method | SROCC | PLCC |\n|-|-|-|\n| 3D-CNN + LSTM | 0.893 | 0.893 |\n| NIQE | 0.863 | - |\n"
    assert unfounded(readme, results) == [("3D-CNN + LSTM", "SROCC", 0.893), ("NIQE", "SROCC", 0.863)]
