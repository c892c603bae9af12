"""What is built carries everything: a wheel alone works from any folder."""

from __future__ import annotations

import ast
import configparser
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DATA_FOLDERS = ("config", "integrations", "templates")
_NOT_SOURCE = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", ".hypothesis", ".coverage*", "__pycache__", "*.egg-info", "build", "dist"
)


def _data_files() -> dict[str, bytes]:
    return {
        str(path.relative_to(ROOT)): path.read_bytes()
        for folder in DATA_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist, and the wheel that was built from that sdist."""
    tree = tmp_path_factory.mktemp("source") / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=_NOT_SOURCE)
    dist = tree / "dist"
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(tree)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dist


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment that has the wheel, and below it this one's other packages."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (wheel,) = built.glob("*.whl")
    python = environment / "bin/python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, str(wheel)], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    others = environment / "lib" / version / "site-packages/others.pth"
    others.write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return environment / "bin"


def _run(program: Path, *arguments: str, folder: Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "COVERAGE"))}
    clean["XDG_STATE_HOME"] = str(folder)
    done = subprocess.run(
        [str(program), *arguments], check=False, capture_output=True, text=True, cwd=folder, env=clean
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_carries_every_file_that_users_read(built: Path) -> None:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        prefix = "workflow_agent/_data/"
        carried = {
            name.removeprefix(prefix): wheel.read(name)
            for name in wheel.namelist()
            if name.startswith(prefix) and name != f"{prefix}__init__.py"
        }

    assert carried == _data_files()


def test_the_wheel_carries_what_the_code_reads_besides_python(built: Path) -> None:
    (path,) = built.glob("*.whl")
    source = ROOT / "src"
    wanted = {
        str(file.relative_to(source))
        for file in source.rglob("*")
        if file.is_file() and file.suffix in (".sql", ".sh", ".typed", ".json", ".toml", ".yaml", ".j2")
        if "_data" not in file.parts and ".egg-info" not in str(file)
    }
    with zipfile.ZipFile(path) as wheel:
        missing = wanted - set(wheel.namelist())

    assert missing == set()


def test_the_wheel_carries_the_manual_page_where_readers_look(installed: Path) -> None:
    page = installed.parent / "share/man/man1/workflow-agent.1"

    assert page.read_bytes() == (ROOT / "man/workflow-agent.1").read_bytes()


def test_the_sdist_carries_every_file_that_users_read(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    assert {*_data_files(), "LICENSE", "README.md", "CHANGELOG.md", "requirements.txt"} - names == set()


def test_the_wheel_alone_knows_its_integrations_and_workflows_from_any_folder(installed: Path, tmp_path: Path) -> None:
    where = _run(installed / "python", "-c", "import workflow_agent as w; print(w.__file__)", folder=tmp_path)
    assert where.startswith(str(installed.parent))

    integrations = json.loads(_run(installed / "workflow-agent", "integrations", "list", "--json", folder=tmp_path))
    workflows = json.loads(_run(installed / "workflow-agent", "workflows", "list", "--json", folder=tmp_path))

    assert {"nginx", "prometheus-node-exporter"} <= {item["name"] for item in integrations["data"]["items"]}
    assert {"install", "plan", "rollback", "verify"} <= {item["name"] for item in workflows["data"]["items"]}


def test_the_wheel_alone_checks_what_it_carries(installed: Path, tmp_path: Path) -> None:
    told = json.loads(_run(installed / "workflow-agent", "integrations", "lint", "nginx", "--json", folder=tmp_path))

    assert told["ok"] is True


def _imported() -> set[str]:
    """Top-level names of other people's packages that the code imports anywhere, but for what only pytest imports."""
    names: set[str] = set()
    for path in set((ROOT / "src").rglob("*.py")) - {ROOT / "src/workflow_agent/testing/fixtures.py"}:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    own = {"workflow_agent", "pydantic_core"}  # the second is pydantic's, by its documentation
    return names - set(sys.stdlib_module_names) - own


def test_whatever_is_imported_is_required() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    lines = settings["options"]["install_requires"].splitlines()
    required = {canonicalize_name(Requirement(line).name) for line in lines if line.strip()}
    carriers = packages_distributions()

    undeclared = {
        name: carriers.get(name)
        for name in _imported()
        if not required & {canonicalize_name(carrier) for carrier in carriers.get(name, ())}
    }

    assert undeclared == {}


@pytest.mark.parametrize(
    ("section", "option", "file"),
    [
        ("options", "install_requires", "requirements.txt"),
        ("options.extras_require", "test", "requirements-test.txt"),
    ],
)
def test_exact_versions_lie_within_the_ranges(section: str, option: str, file: str) -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    wanted = [Requirement(line) for line in settings[section][option].splitlines() if line.strip()]
    lines = [line for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if "==" in line]
    pinned = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}

    assert [str(need) for need in wanted if pinned.get(canonicalize_name(need.name), "0") not in need.specifier] == []
