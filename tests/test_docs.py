"""The documents say what is true: of the configs, the commands, the files, and each other."""

import json
import re
import runpy
import subprocess
from pathlib import Path

import jsonschema
import pytest

import kft
from kft.cli import main as cli
from kft.config.run_config import load_config, shipped_configs
from kft.phase import Phase
from kft.settings.catalog import CATALOG
from kft.storage import run_files as run_dir

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "kft/configs/*.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
CONFIGS = sorted((ROOT / "kft" / "configs").glob("*.json"))


@pytest.fixture(scope="module")
def generated():
    return runpy.run_path(str(ROOT / "docs" / "generate.py"))["pages"]()


def outline(schema):
    """The parts of a schema that are kft's; its wording may change with pydantic."""
    named = {"config": schema, **schema["$defs"]}
    return {
        name: {
            "keys": {
                key: (setting.get("default"), setting.get("const"), setting.get("description"))
                for key, setting in part.get("properties", {}).items()
            },
            "required": part.get("required", []),
        }
        for name, part in named.items()
    }


def command(mark):
    """The lines of the code block below a mark, as .ci/run reads them."""
    (block,) = re.findall(rf"<!-- {mark} -->\n```sh\n(.*?)```", README, re.DOTALL)
    return block.splitlines()


def test_the_config_reference_is_current(generated):
    page = ROOT / "docs" / "config.md"

    text = generated[page]

    assert page.read_text(encoding="utf-8") == text, "run: python docs/generate.py"


def test_the_json_schema_is_current(generated):
    page = ROOT / "docs" / "config.schema.json"

    written, made = json.loads(page.read_text(encoding="utf-8")), json.loads(generated[page])

    assert outline(written) == outline(made), "run: python docs/generate.py"


def test_the_config_reference_has_every_kind():
    page = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")

    headings = {f"### {role} `{kind}`" for role, kinds in CATALOG.items() for kind in kinds}

    assert headings - {*page.splitlines()} == set()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_loads_and_fits_the_schema(path):
    schema = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
    settings = json.loads(path.read_text(encoding="utf-8"))

    config = load_config(path.stem)

    jsonschema.validate(settings, schema)
    assert config.data.kind == settings["data"]["kind"]
    assert (path.parent / settings["$schema"]).resolve() == ROOT / "docs" / "config.schema.json"


def test_every_shipped_config_is_described_and_reached_from_the_top_folder():
    page = (ROOT / "configs" / "README.md").read_text(encoding="utf-8")

    named = re.findall(r"^\| `(\w+)` \| .* \| .* \|", page, re.MULTILINE)

    assert sorted(set(named)) == shipped_configs() == [path.stem for path in CONFIGS]


@pytest.mark.parametrize("mark", ["run-command", "test-command"])
def test_the_readme_has_two_commands_of_one_line_that_begin_with_an_environment(mark):
    lines = command(mark)

    assert len(lines) == 1
    assert lines[0].startswith("python3 -m venv .venv && .venv/bin/python -m pip install ")


def test_ci_runs_the_very_test_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (function,) = re.findall(r"^command_of\(\) \{.*?^\}", script, re.MULTILINE | re.DOTALL)

    done = subprocess.run(
        ["bash", "-euc", f"{function}\ncommand_of test-command"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == command("test-command")
    assert 'bash -euo pipefail -c "$tests" </dev/null' in script


def test_the_code_in_the_documents_is_code():
    blocks = {
        language: [
            block
            for page in PAGES
            for block in re.findall(rf"```{language}\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
        ]
        for language in ("python", "json")
    }

    configs = [load_config(json.loads(block)) for block in blocks["json"]]
    programs = [compile(block, "document", "exec") for block in blocks["python"]]

    assert configs
    assert len(programs) > 2


def test_the_architecture_names_every_place_and_no_other():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")

    tree = page.partition("## The tree")[2].partition("\n\nA singular")[0]

    places = re.findall(r"^\| (.*?) \|", tree, re.MULTILINE)
    named = re.findall(r"`([a-z_]+(?:\.py|/))`", " ".join(places))
    modules = [path.name for path in (ROOT / "kft").glob("[!_]*.py")]
    folders = [f"{path.name}/" for path in (ROOT / "kft").glob("[!_]*") if path.is_dir()]
    assert sorted(named) == sorted([*modules, *folders])


def test_the_file_to_read_first_is_the_same_in_every_document():
    first = "kft/workflows/run.py"

    for page in ("README.md", "CONTRIBUTING.md", "docs/architecture.md"):
        assert first in (ROOT / page).read_text(encoding="utf-8"), page
    assert first in kft.__doc__


def test_the_page_on_run_directories_names_every_file():
    page = (ROOT / "docs" / "run-directory.md").read_text(encoding="utf-8")

    left = {value for name, value in vars(run_dir).items() if name.isupper()} - {run_dir.EXPORT}

    assert sorted(name for name in left if name not in page) == []


def test_the_readme_shows_a_config_of_eight_lines_that_loads():
    (block,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)

    config = load_config(json.loads(block))

    assert len(block.splitlines()) == 8
    assert (config.phases, config.effort) == ((), "normal")


def test_the_readme_says_what_a_phase_needs():
    needed = [name for name, field in Phase.model_fields.items() if field.is_required()]

    (words,) = re.findall(r"A phase that you write out yourself needs (.*?)\.", README, re.DOTALL)

    assert re.findall(r"`(\w+)`", words) == needed


def test_the_documents_name_every_command_and_no_other():
    pages = "\n".join(path.read_text(encoding="utf-8") for path in PAGES)

    code = "\n".join(map("".join, re.findall(r"```sh\n(.*?)```|`(kft [^`]+)`", pages, re.DOTALL)))
    used = set(re.findall(r"\bkft ([a-z][a-z_-]*)\b", code))

    assert used == set(cli.main.commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]

    files = [link.partition("#")[0] for link in links]
    own = [link[1:] for link in links if link.startswith("#")]

    assert [file for file in files if file and not (page.parent / file).exists()] == []
    assert [anchor for anchor in own if anchor not in anchors(text)] == []


def anchors(text):
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
