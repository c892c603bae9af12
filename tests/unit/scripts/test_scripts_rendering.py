"""Rendering: values stay values, templates stay small, errors say where."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from workflow_agent.model.errors import NotFoundError, ParameterError, ValidationError
from workflow_agent.model.system import FileWrite, Script
from workflow_agent.scripts.rendering import render_file, render_script, script_hash

SHIPPED = Path(__file__).parents[3] / "templates"
GOLDEN = Path(__file__).parents[2] / "examples" / "scripts" / "golden"


def render(folder: Path, text: str, context: dict[str, Any], **options: Any) -> Script:
    """Render `text` as the template ``t`` of `folder`."""
    (folder / "t.sh.j2").write_text(text, encoding="utf-8")
    return render_script("t", context, search=[folder], integration="demo", action="install", version="1", **options)


def run(script: Script, folder: Path) -> list[str]:
    """Execute a script that prints words, each ended by NUL; gives the words."""
    done = subprocess.run(
        ["bash", "-c", script.text], cwd=folder, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    return done.stdout.decode().split("\0")[:-1]


HOSTILE = [
    "$(touch marker)",
    "`touch marker`",
    "'; touch marker; '",
    '"; touch marker; "',
    "'\"'\"'; touch marker #",
    "a' $(touch marker) 'b",
    "\\'; touch marker; \\'",
    "x; touch marker",
    "x && touch marker",
    "x | touch marker",
    "> marker",
    "${IFS}touch${IFS}marker",
    "$((a[$(touch marker)]))",
    "a[$(touch marker)]",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "!!",
    "*",
    "~root",
    "{a,b}",
    "\\",
    "'",
    '"',
    "",
    " ",
    "\t",
    "\uff04(touch marker)",
    "\u2019; touch marker; \u2019",
    "é\u0301\U0001f4a9",
    "%s%n",
    "=x",
    "#",
    "日本",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_arrive_as_they_are_and_run_nothing(tmp_path: Path, value: str) -> None:
    text = "values=({{ one }} {{ many }} pre{{ one }})\nprintf '%s\\0' \"${values[@]}\" {{ one }}\n"

    words = run(render(tmp_path, text, {"one": value, "many": [value, value]}), tmp_path)

    assert words == [value, value, value, f"pre{value}", value]
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "value",
    [
        "line\nfeed",
        "nul\0",
        "\r",
        "\x1b[2J",
        "\x85",
        "\udcff",
        "\u202egnp.exe",
        "-oProxyCommand=touch marker",
        "--",
        "-",
        "x" * 10_000_000,
    ],
    ids=["newline", "nul", "cr", "escape", "c1", "surrogate", "bidi", "option", "dashes", "dash", "10MB"],
)
def test_values_that_cannot_be_a_word_are_refused_without_repeating_them(tmp_path: Path, value: str) -> None:
    with pytest.raises(ParameterError) as caught:
        render(tmp_path, "true\necho {{ x }}\n", {"x": value})

    assert caught.value.where == f"{tmp_path / 't.sh.j2'}:2"
    assert value not in caught.value.message or value == "-"


def test_a_multiline_parameter_may_have_several_lines(tmp_path: Path) -> None:
    context = {"p": {"motd": "a\n$(touch marker)\tb", "other": "x"}}

    script = render(tmp_path, "printf '%s\\0' {{ p.motd }} {{ p.other }}", context, multiline=["p.motd"])

    assert run(script, tmp_path) == ["a\n$(touch marker)\tb", "x"]


def test_a_leading_dash_inside_a_word_is_no_option(tmp_path: Path) -> None:
    assert render(tmp_path, "nice --adjustment={{ n }} true\n", {"n": -5}).text == ("nice --adjustment=-5 true\n")


def test_later_words_of_a_list_inside_a_word_cannot_be_options(tmp_path: Path) -> None:
    with pytest.raises(ParameterError):
        render(tmp_path, "echo a{{ x }}\n", {"x": ["-a", "-b"]})


def test_opt_lets_through_exactly_the_listed_options(tmp_path: Path) -> None:
    text = "ls {{ x | opt('-a', '-l') }}\n"

    assert render(tmp_path, text, {"x": "-l"}).text == "ls -l\n"
    with pytest.raises(ParameterError):
        render(tmp_path, text, {"x": "-R"})


def test_raw_text_is_inserted_as_it_is(tmp_path: Path) -> None:
    assert render(tmp_path, "echo {{ x | raw }}\n", {"x": "$HOME"}).text == "echo $HOME\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [(True, "true"), (False, "false"), (3, "3"), (1.5, "1.5"), ([], ""), (["a b", 2], "'a b' 2")],
)
def test_scalars_and_lists_have_one_way_to_be_written(tmp_path: Path, value: Any, written: str) -> None:
    assert render(tmp_path, "x=({{ x }})", {"x": value}).text == f"x=({written})"


@pytest.mark.parametrize("value", [None, {"a": 1}, float("nan"), [None], [[1]], b"x", object()])
def test_other_values_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ParameterError):
        render(tmp_path, "echo {{ x }}", {"x": value})


def test_values_nested_too_deeply_are_refused(tmp_path: Path) -> None:
    value: Any = "x"
    for _ in range(30):
        value = [value]

    with pytest.raises(ParameterError, match="deeper"):
        render(tmp_path, "echo", {"x": value})


@pytest.mark.parametrize(
    "text",
    ["echo {{ nothing }}", "echo {{ x.nothing }}", "{% if nothing %}{% endif %}", "echo {{ 'x' ~ nothing }}"],
)
def test_a_missing_value_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        render(tmp_path, text, {"x": {}})

    assert "nothing" in (caught.value.cause or "")


def test_parameters_may_have_the_names_of_mapping_methods(tmp_path: Path) -> None:
    text = "echo {{ p.items }}{% for k, v in q.items() %} {{ k }}={{ v }}{% endfor %}\n"

    assert render(tmp_path, text, {"p": {"items": "mine"}, "q": {"a": 1}}).text == "echo mine a=1"


def test_loops_filters_and_conditions_work(tmp_path: Path) -> None:
    text = (
        "{% for p in ports | sort if p > 80 %}\nport {{ loop.index }} {{ p + 1 }} {{ p * 2 }} {{ p % 7 }}\n"
        "{% else %}\nnone\n{% endfor %}\necho {{ names | join(',') | upper }} {{ range(2) | list }}\n"
        "{% with n = names[0] %}\necho {{ '' if false else n | raw }}{% endwith %}\n"
    )

    assert render(tmp_path, text, {"ports": [443, 22], "names": ["a b", True]}).text == (
        "port 1 444 886 2\necho 'A B,TRUE' 0 1\necho a b"
    )


ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ x.__init__.__globals__ }}",
    "{{ x | attr('__class__') }}",
    "{{ self.__init__ }}",
    "{{ cycler.__init__.__globals__.os.popen('touch marker').read() }}",
    "{{ lipsum.__globals__ }}",
    "{{ namespace() }}",
    "{{ dict(a=1) }}",
    "{{ range.__class__ }}",
    "{{ loop.__class__ }}",
    "{{ 'a'.format(1) }}",
    "{{ 'a'.join(x) }}",
    "{{ x.pop() }}",
    "{{ x['__class__'] }}",
    "{{ ('a' | string).encode }}",
    "{{ x | map('upper') | list }}",
    "{{ x | safe }}",
    "{{ x is filter }}",
    "{% filter upper %}a{% endfilter %}",
    "{% autoescape true %}{{ x }}{% endautoescape %}",
    "{% macro m() %}{% endmacro %}{{ m() }}",
    "{% set y %}a{% endset %}",
    "{% import 'other' as o %}",
    "{% extends 'other' %}",
    "{% block b %}{% endblock %}",
    "{% include name %}",
    "{% include ['a', 'b'] %}",
    "{% for a in x recursive %}{{ loop(a) }}{% endfor %}",
    "{{ range(1, *x) }}",
    "{{ 2 ** 99 }}",
    "{% do x.append(1) %}",
    "{{ unclosed",
    "{% if %}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_the_template_language_is_small(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        render(tmp_path, f"true\n{text}\n", {"x": ["a"]})

    assert (caught.value.where or "").startswith(str(tmp_path / "t.sh.j2"))
    assert not Path("marker").exists()


BOMBS = [
    "{{ 'a' * 10**8 }}",
    "{{ 'a' * 100000000 }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ range(1000000000) | list }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "{% for a in range(9999) %}" + "x" * 200 + "{% endfor %}",
    "{% set a = 'xxxxxxxxxxxxxxxx' %}" + "{% set a = a ~ a %}" * 40 + "{{ a }}",
    "{% set a = 'xxxxxxxxxxxxxxxx' %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
    "{% set a = [1, 2, 3] %}" + "{% set a = a + a %}" * 40 + "{{ a }}",
    "{% set a = 'xxxxxxxxxxxxxxxx' %}" + "{% set a = [a, a] | join(a) %}" * 20 + "{{ a }}",
    "{% set a = 9223372036854775806 %}" + "{% set a = a * a %}" * 40 + "{{ a }}",
    "{% include 't' %}",
    "{{ " + "9" * 9999 + " }}",
    "{{ " + "(" * 9999 + ")" * 9999 + " }}",
    "{{ " + "not " * 9999 + "x }}",
]


@pytest.mark.parametrize("text", BOMBS, ids=lambda text: text[:40])
def test_templates_cannot_grow_or_run_without_end(tmp_path: Path, text: str) -> None:
    before = time.monotonic()

    with pytest.raises(ValidationError):
        render(tmp_path, text, {})

    assert time.monotonic() - before < 10


def test_output_is_capped(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="larger than"):
        render(tmp_path, "{% for a in range(20) %}echo {{ x }}\n{% endfor %}", {"x": "y" * 60_000})


@pytest.mark.parametrize(
    "text",
    [
        'echo "{{ x }}"',
        "echo '{{ x }}'",
        "cat <<EOF\n{{ x }}\nEOF\n",
        "cat <<'EOF'\n{{ x }}\nEOF\n",
        "cat <<-EOF\n\t{{ x }}\n\tEOF\n",
        "cat <<{{ x }}\n",
        "# {{ x }}\n",
        "echo \\{{ x }}",
        "echo ${{ x }}",
        "echo ${a:-{{ x }}}",
        "echo $(( {{ x }} ))",
        "(( {{ x }} ))",
        "echo `echo {{ x }}`",
        'echo "$(echo "{{ x }}")"',
        'echo "{% if x %}"{% endif %}',
        'echo {% if x %}"{% else %}"{% endif %}{{ x }}"',
        "{{ x }} --help",
        "sudo; {{ x }}",
        "eval {{ x }}",
        "bash -c {{ x }}",
        "/bin/sh -c {{ x }}",
        "trap {{ x }} EXIT",
        "[[ {{ x }} -eq 1 ]]",
        "let {{ x }}",
        "a[{{ x }}]=1",
        "export {{ x }}",
        "source {{ x }}",
    ],
)
def test_interpolation_where_the_shell_would_read_code_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValidationError, match="not safe"):
        render(tmp_path, text, {"x": "value"})


def test_included_templates_follow_the_same_rules(tmp_path: Path) -> None:
    (tmp_path / "part.sh.j2").write_text("echo {{ x }}\n")
    (tmp_path / "bad.sh.j2").write_text('echo "{{ x }}"\n')

    assert render(tmp_path, '{% include "part" %}', {"x": "a b"}).text == "echo 'a b'\n"
    with pytest.raises(ValidationError, match="not safe"):
        render(tmp_path, '{% include "bad" %}', {"x": "a b"})
    with pytest.raises(ValidationError):
        render(tmp_path, '{% include "../secret" %}', {})


def test_the_script_carries_where_it_came_from(tmp_path: Path) -> None:
    file = FileWrite(path="/etc/x", format="text", content="1")

    plain = render(tmp_path, "true\n", {})
    script = render(tmp_path, "true\n", {}, files=[file], parameters={"key": {"$secret": "env:KEY"}})

    assert (script.provenance.integration, script.provenance.action, script.provenance.version) == (
        "demo",
        "install",
        "1",
    )
    assert script.provenance.template == "t"
    assert len(script.provenance.template_hash) == 64
    assert script.provenance.parameters == {"key": {"$secret": "env:KEY"}}
    assert script.files == (file,)
    assert script.hash == script_hash("true\n", [file]) != plain.hash == script_hash("true\n")


def test_nginx_values_are_tokens(tmp_path: Path) -> None:
    (tmp_path / "site.nginx.j2").write_text(
        "listen 0.0.0.0:{{ port }};\nserver_name {{ names }};\nroot {{ root }};\n# {{ port }}\n"
    )
    context = {"port": 80, "names": ["a.example", "*.b"], "root": '/srv/my "site"\\x; }'}

    text = render_file("site", context, search=[tmp_path])

    assert text == ('listen 0.0.0.0:80;\nserver_name a.example *.b;\nroot "/srv/my \\"site\\"\\\\x; }";\n# 80\n')


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("root {{ x }};", "$document_root"),
        ("root {{ x }};", "a\nb"),
        ("root /srv/{{ x }};", "a; evil"),
        ("root {{ x }}/y;", "a b"),
        ("root /{{ x }};", ["a", "b"]),
        ("{% if true %}{{ x }}{% endif %};", "a b"),
    ],
)
def test_what_nginx_would_read_differently_is_refused(tmp_path: Path, template: str, value: Any) -> None:
    (tmp_path / "site.nginx.j2").write_text(template)

    with pytest.raises(ParameterError):
        render_file("site", {"x": value}, search=[tmp_path])


def test_nginx_templates_may_use_raw_and_quotes(tmp_path: Path) -> None:
    (tmp_path / "site.nginx.j2").write_text("return 200 '{{ x }}' {{ y | raw }};")

    assert render_file("site", {"x": "ok", "y": "$a"}, search=[tmp_path]) == "return 200 'ok' $a;"


def test_a_text_file_takes_values_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "x.text.j2").write_text(
        "bind {{ address }}:{{ port }}\n{% for one in servers %}\n  server {{ one }}\n{% endfor %}\n"
    )
    context = {"address": "*", "port": 80, "servers": ["a 10.0.0.1 check", 'b "$x" \\ # y']}

    text = render_file("x", context, search=[tmp_path], language="text")

    assert text == 'bind *:80\n  server a 10.0.0.1 check\n  server b "$x" \\ # y\n'


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b", "a\u202eb", ["a", "b"], None, {"a": 1}])
def test_nothing_in_a_text_file_ends_its_line(tmp_path: Path, value: Any) -> None:
    (tmp_path / "x.text.j2").write_text("say {{ x }}\n")

    with pytest.raises(ParameterError):
        render_file("x", {"x": value}, search=[tmp_path], language="text")


def test_a_text_template_may_join_lines_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "x.text.j2").write_text("{{ (x | join(', ')) | raw }}")

    assert render_file("x", {"x": ["a", "b"]}, search=[tmp_path], language="text") == "a, b"


def test_only_known_languages_can_be_rendered(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="perl"):
        render_file("x", {}, search=[tmp_path], language="perl")
    with pytest.raises(NotFoundError):
        render_file("x", {}, search=[tmp_path])


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("apt-uninstall", {"packages": ["nginx", "nginx-common"]}),
        ("apt-uninstall-purge", {"packages": ["nginx"], "purge": True, "autoremove": True}),
        ("apt-install-one", {"packages": ["prometheus-node-exporter"]}),
        (
            "apt-install-all-options",
            {
                "packages": ["nginx", "libc6:amd64"],
                "versions": {"nginx": "1.22.1-9"},
                "recommends": True,
                "update": True,
            },
        ),
        ("apt-install-hostile", {"packages": ["$(touch marker)", "a b"], "versions": {"a b": "`id`"}}),
    ],
)
def test_built_in_templates_render_as_recorded(name: str, context: dict[str, Any]) -> None:
    template = "apt/uninstall" if name.startswith("apt-uninstall") else "apt/install"
    script = render_script(template, context, search=[SHIPPED], integration="demo", action="install", version="1")

    assert script.text == (GOLDEN / f"{name}.sh").read_text()


def test_the_apt_template_refuses_what_is_no_package_name(tmp_path: Path) -> None:
    for bad in ("./evil.deb", "nginx-", "a.*", "$(touch marker)", "task^"):
        script = render_script(
            "apt/install",
            {"packages": [bad]},
            search=[SHIPPED],
            integration="demo",
            action="install",
            version="1",
        )
        done = subprocess.run(["bash", "-c", script.text], cwd=tmp_path, capture_output=True, check=False, text=True)
        assert (done.returncode, done.stderr.startswith("error: not a package name")) == (2, True)
    assert not (tmp_path / "marker").exists()
