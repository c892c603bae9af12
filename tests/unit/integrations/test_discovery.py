"""Integrations of installed packages are found by their entry points; a broken one harms nobody."""

from __future__ import annotations

import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from workflow_agent.integrations import (
    Installation,
    IntegrationBase,
    IntegrationContext,
    Plugins,
    Registry,
    Removal,
    builtin_folder,
    resolve,
)
from workflow_agent.integrations.described import describe
from workflow_agent.model.errors import ConflictError, ManifestError, NotFoundError
from workflow_agent.model.system import InitKind, TargetFacts, Tier

if TYPE_CHECKING:
    from workflow_agent.integrations.discovery import Plugin

GOOD = Path(__file__).parents[2] / "examples" / "manifests" / "schema" / "good"
FACTS = TargetFacts(
    target="host",
    hostname="h",
    os_id="debian",
    os_version="12",
    os_codename="bookworm",
    os_like=(),
    architecture="x86_64",
    kernel="6",
    init=InitKind.SYSTEMD,
    package_manager="apt",
    is_root=True,
    tier=Tier.EXACT,
)
CLASS = """
from workflow_agent.integrations import Installation, IntegrationBase, Removal


class Greeting(IntegrationBase):
    def metadata(self):
        return {
            "name": "greeting", "version": "1.2.3", "description": "Says hello.", "category": "test",
            "platforms": [{"family": "debian", "os": ["debian"]}],
            "parameters": {"text": {"type": "string", "default": "hello", "description": "What it says."}},
        }

    def install(self, context):
        return Installation(
            script=f"set -eu\\nprintf '%s\\\\n' {context.in_script('text')} > /etc/greeting\\n",
            files=[{"path": "/etc/greeting.json", "format": "json", "values": {"text": context.parameter("text")}}],
        )

    def verify(self, context):
        return [{"id": "there", "kind": "file", "path": "/etc/greeting"}]

    def uninstall(self, context):
        checks = [{"id": "gone", "kind": "file", "path": "/etc/greeting", "exists": False}]
        return Removal(script="set -eu\\nrm -f /etc/greeting /etc/greeting.json\\n", checks=checks)
"""


class Packages:
    """Installed packages, as pip leaves them, in a folder that Python looks in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, distribution: str, entries: str, **modules: str) -> None:
        info = self.folder / f"{distribution}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(f"[workflow_agent.integrations]\n{entries}\n", encoding="utf-8")
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")

    def place(self, package: str, name: str = "example") -> Path:
        """Put the good example under a package's name."""
        folder = self.folder / package
        shutil.copytree(GOOD, folder)
        text = (folder / "integration.yaml").read_text(encoding="utf-8")
        (folder / "integration.yaml").write_text(text.replace("name: example", f"name: {name}", 1), encoding="utf-8")
        return folder


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packages:
    """What tests import goes again with them."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    known = set(sys.modules)
    monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name in known})
    return Packages(folder)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry([builtin_folder()], Plugins(tmp_path / "plugins"))


def test_a_package_with_a_folder_is_found_and_nothing_of_it_is_executed(packages: Packages, registry: Registry) -> None:
    folder = packages.place("acme_example", "acme-example")
    (folder / "__init__.py").write_text("raise SystemExit('executed')", encoding="utf-8")
    packages.add("acme", "acme-example = acme_example")

    manifest = registry.get("acme-example")

    assert manifest.name == "acme-example"
    assert manifest.folder == folder
    assert registry.origin("acme-example") == "acme 1.0 (entry point acme_example)"
    assert registry.folder("acme-example") == folder
    listing = next(one for one in registry.list() if one.name == "acme-example")
    assert (listing.origin, listing.error, listing.warnings) == (registry.origin("acme-example"), None, ())
    assert registry.knows("acme-example")
    assert "acme-example" in registry.names()


def test_an_attribute_may_be_the_path_of_a_folder_of_any_name(packages: Packages, registry: Registry) -> None:
    folder = packages.place("data_of_acme")
    packages.add("acme", "example = acme:FOLDER", acme=f"FOLDER = {str(folder)!r}")

    assert registry.get("example").folder == folder


def test_a_class_becomes_a_folder_like_any_other(packages: Packages, registry: Registry, tmp_path: Path) -> None:
    packages.add("greeting-package", "greeting = greeting_module:Greeting", greeting_module=CLASS)

    assert [one.description for one in registry.list() if one.name == "greeting"] == ["Says hello."]
    assert not (tmp_path / "plugins").exists(), "a list writes nothing"
    manifest = registry.get("greeting")
    again = Registry([], Plugins(tmp_path / "plugins")).get("greeting")

    assert manifest.folder.is_relative_to(tmp_path / "plugins")
    assert (manifest.folder, manifest.hash) == (again.folder, again.hash)
    resolved = resolve(manifest, "install", {"text": "it's"}, FACTS)
    assert resolved.files[0].values == {"text": "it's"}
    assert [check.id for check in resolved.checks] == ["there"]
    script = (manifest.folder / "templates" / f"{resolved.template}.sh.j2").read_text(encoding="utf-8")
    assert "{{ parameters.text }}" in script
    removal = resolve(manifest, "uninstall", {"text": "it's"}, FACTS)
    assert [check.id for check in removal.checks] == ["gone"]


def test_what_was_written_is_put_right_and_another_text_is_another_folder(
    packages: Packages, registry: Registry, tmp_path: Path
) -> None:
    packages.add("greeting-package", "greeting = greeting_module:Greeting", greeting_module=CLASS)
    folder = registry.folder("greeting")
    (folder / "templates/install.sh.j2").write_text("tampered", encoding="utf-8")

    assert Registry([], Plugins(tmp_path / "plugins")).folder("greeting") == folder
    assert "tampered" not in (folder / "templates/install.sh.j2").read_text(encoding="utf-8")
    assert sorted(path.name for path in (folder / "templates").iterdir()) == ["install.sh.j2", "uninstall.sh.j2"]


BROKEN = {
    "no module": ("broken = nowhere_to_be_found", "", "there is no package"),
    "no attribute": ("broken = broken_module:Nothing", "", "AttributeError"),
    "import fails": ("broken = broken_module:X", "1 / 0", "ZeroDivisionError"),
    "import exits": ("broken = broken_module:X", "import sys\nsys.exit(3)", "SystemExit"),
    "wrong type": ("broken = broken_module:X", "X = 3", "a value of type int"),
    "no folder": ("broken = broken_module:X", "X = '/nowhere'", "holds no `integration.yaml`"),
    "relative": ("broken = broken_module:X", "X = '.'", "holds no `integration.yaml`"),
    "module": ("broken = broken_module", "", "holds no `integration.yaml`"),
    "abstract": (
        "broken = broken_module:X",
        "from workflow_agent.integrations import IntegrationBase\nclass X(IntegrationBase): pass",
        "TypeError",
    ),
    "name": ("Broken_Name = broken_module:X", "X = '/'", "the entry point's name is none"),
    "not named like it": ("broken = broken_module:Greeting", CLASS, "`greeting` but its entry point is `broken`"),
    "invalid": ("broken = broken_module:Greeting", CLASS.replace('"1.2.3"', '"one"'), "`version`"),
    "method fails": (
        "broken = broken_module:Greeting",
        CLASS.replace("return [", "raise ValueError('why')\n        return ["),
        "ValueError: why",
    ),
    "wrong result": (
        "broken = broken_module:Greeting",
        CLASS.replace("return Removal(", "return dict("),
        "`uninstall` gives a value of type dict",
    ),
    "wrong key": (
        "broken = broken_module:Greeting",
        CLASS.replace('"name"', '"files": [], "name"'),
        "`metadata` gives `files`",
    ),
    "no data": ("broken = broken_module:Greeting", CLASS.replace('"Says hello."', "object()"), "no plain data"),
    "parameter": (
        "broken = broken_module:Greeting",
        CLASS.replace("in_script('text')", "in_script('txet')"),
        "no parameter `txet`",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plug_in_is_told_with_its_origin_and_harms_no_other(
    packages: Packages, registry: Registry, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    entries, text, cause = BROKEN[case]
    name = entries.partition(" ")[0]
    packages.add("broken-package", entries, broken_module="print('noise')\n" + text)
    packages.place("fine")
    packages.add("fine-package", "example = fine")

    listings = {listing.name: listing for listing in registry.list()}

    assert listings["example"].error is None
    assert listings["nginx"].error is None
    assert cause in listings[name].warnings[0]
    assert "broken-package 1.0 (entry point " in listings[name].warnings[0]
    with pytest.raises(ManifestError) as caught:
        registry.get(name)
    assert cause in f"{caught.value.message} {caught.value.cause}"
    assert capsys.readouterr().out == "", "what code of others prints is no data of ours"


def test_folders_come_before_packages_and_a_list_names_both(packages: Packages, registry: Registry) -> None:
    packages.place("another_nginx", "nginx")
    packages.add("acme", "nginx = another_nginx")

    assert registry.get("nginx").folder == builtin_folder() / "nginx"
    (warning,) = next(one for one in registry.list() if one.name == "nginx").warnings
    assert str(builtin_folder() / "nginx") in warning
    assert "acme 1.0 (entry point another_nginx)" in warning


def test_two_packages_of_one_name_are_refused_with_both_origins(packages: Packages, registry: Registry) -> None:
    packages.place("one")
    packages.place("two")
    packages.add("first", "example = one")
    packages.add("second", "example = two")

    with pytest.raises(ConflictError) as caught:
        registry.get("example")

    assert caught.value.details["folders"] == ["first 1.0 (entry point one)", "second 1.0 (entry point two)"]
    (listing,) = [one for one in registry.list() if one.name == "example"]
    assert "second 1.0" in listing.warnings[0]


def test_damaged_metadata_of_others_is_left_alone(packages: Packages, registry: Registry) -> None:
    (packages.folder / "hollow-1.0.dist-info").mkdir()
    damaged = packages.folder / "damaged-1.0.dist-info"
    damaged.mkdir()
    (damaged / "METADATA").write_bytes(b"\xff\xfe\x00")
    (damaged / "entry_points.txt").write_bytes(b"\xff\xfe[workflow_agent.integrations\n= = =")
    packages.place("fine")
    packages.add("fine-package", "example = fine")

    assert registry.get("example").name == "example"


def test_a_folder_that_cannot_be_written_is_said(packages: Packages, tmp_path: Path) -> None:
    packages.add("greeting-package", "greeting = greeting_module:Greeting", greeting_module=CLASS)
    (tmp_path / "plugins").write_text("a file", encoding="utf-8")
    registry = Registry([], Plugins(tmp_path / "plugins"))

    with pytest.raises(ManifestError) as caught:
        registry.get("greeting")
    assert "cannot be written" in str(caught.value.cause)
    assert registry.list()[0].error is None


def test_an_unknown_name_gets_near_names_of_packages_too(packages: Packages, registry: Registry) -> None:
    packages.place("fine")
    packages.add("fine-package", "example = fine")

    with pytest.raises(NotFoundError) as caught:
        registry.get("exmaple")
    assert caught.value.hint == "did you mean `example`?"
    assert not registry.knows("exmaple")


class _NeverAsked(Plugins):
    """Reading the metadata of all packages takes tens of milliseconds."""

    def all(self) -> list[Plugin]:
        raise AssertionError("packages were looked at")


def test_a_name_that_a_folder_has_costs_no_look_at_packages(tmp_path: Path) -> None:
    registry = Registry([builtin_folder()], _NeverAsked(tmp_path))

    assert registry.get("nginx").name == "nginx"
    assert registry.knows("nginx")
    with pytest.raises(AssertionError):
        registry.knows("ngin")


class _Whole(IntegrationBase):
    """Says everything that can be said."""

    def metadata(self) -> dict[str, object]:
        return {"name": "whole", "version": "1.0.0"}

    def install(self, context: IntegrationContext) -> Installation:
        return Installation(
            script="true\n",
            with_={"kernel": context.fact("kernel")},
            services=({"name": "whole"},),
            templates={"site.nginx.j2": "x"},
            timeout_s=5.0,
        )

    def verify(self, context: IntegrationContext) -> tuple[()]:
        del context
        return ()


def test_a_class_says_what_a_manifest_says() -> None:
    said = describe(_Whole())

    assert said.data["actions"] == {
        "install": {"template": "install", "with": {"kernel": "${{ facts.kernel }}"}, "timeout": 5.0}
    }
    assert said.data["services"] == [{"name": "whole"}]
    assert sorted(said.templates) == ["install.sh.j2", "site.nginx.j2"]
    assert "negative_checks" not in said.data


@pytest.mark.parametrize(
    "templates", [{"../x.j2": ""}, {"x.sh": ""}, {"x.j2": 3}, {"x.j2": "x" * ((1 << 20) + 1)}, {3: ""}]
)
def test_templates_are_texts_with_plain_names(templates: dict[str, str]) -> None:
    class Wrong(_Whole):
        def install(self, context: IntegrationContext) -> Installation:
            del context
            return Installation(script="", templates=templates)

    with pytest.raises(ManifestError):
        describe(Wrong())


def test_a_removal_is_an_action_with_its_checks(tmp_path: Path) -> None:
    class Leaving(_Whole):
        def uninstall(self, context: IntegrationContext) -> Removal:
            del context
            return Removal(script="rm x\n", checks=[{"id": "gone"}], with_={"a": 1}, timeout_s=2.0)

    said = describe(Leaving())
    folder = said.write(tmp_path, "whole")

    assert said.data["actions"]["uninstall"] == {"template": "uninstall", "with": {"a": 1}, "timeout": 2.0}
    assert said.data["negative_checks"] == [{"id": "gone"}]
    assert yaml.safe_load((folder / "integration.yaml").read_text(encoding="utf-8")) == said.data
