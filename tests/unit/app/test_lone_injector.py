"""dependency-injector, imported by a process of ours."""

from __future__ import annotations

import subprocess
import sys


def _printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_it_has_for_others_is_not_loaded() -> None:
    """That is why it is imported so."""
    code = (
        "import sys; from workflow_agent.app.lone_injector import load_injector_alone; load_injector_alone();"
        "print('dependency_injector' in sys.modules, {'yaml', 'pydantic'} & sys.modules.keys())"
    )
    assert _printed(code) == "True set()"


def test_what_was_hidden_can_be_imported_afterwards() -> None:
    code = (
        "import sys; from workflow_agent.app.lone_injector import load_injector_alone; before = list(sys.meta_path);"
        "load_injector_alone(); load_injector_alone(); import yaml, pydantic;"
        "print(yaml.safe_load('[1]'), pydantic.TypeAdapter(int).validate_python('2'), sys.meta_path == before)"
    )
    assert _printed(code) == "[1] 2 True"


def test_what_is_there_already_stays_as_it_is() -> None:
    code = (
        "import yaml; from dependency_injector import providers;"
        "from workflow_agent.app.lone_injector import load_injector_alone; load_injector_alone();"
        "print(providers.YamlLoader.__mro__[1] is yaml.SafeLoader)"
    )
    assert _printed(code) == "True"


def test_the_container_is_the_same_with_it() -> None:
    code = (
        "from workflow_agent.app.lone_injector import load_injector_alone; load_injector_alone();"
        "from workflow_agent.app.container import Container; print(len(Container.providers) > 10)"
    )
    assert _printed(code) == "True"
