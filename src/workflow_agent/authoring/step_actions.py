"""What a step of the fluent form does: each word names an agent's verb and its inputs.

What belongs here: words for work. What does not: when and how often it is done (``fluent_step``), and doing it
(``agents``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self

from workflow_agent.authoring.beside_container import CACHES, DATABASES, QUEUES, known_service
from workflow_agent.authoring.sdk import callables
from workflow_agent.authoring.sdk.decorators import guard_of
from workflow_agent.authoring.sdk.values import as_json
from workflow_agent.model.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from workflow_agent.authoring.flow import FlowStep
    from workflow_agent.model.agent_definition import AgentDefinition, ToolDefinition

__all__ = ["ACT", "CONTAINER", "END", "HTTP", "MODEL", "SHELL", "SSH", "StepActions", "secret", "tool_id"]

#: Verbs of steps, by what they do.
SHELL: Final = "shell.run"
CONTAINER: Final = "container.run"
HTTP: Final = "http.request"
SSH: Final = "ssh.run"
MODEL: Final = "model.chat"
ACT: Final = "model.act"
END: Final = "flow.end"
#: Verbs that take what their output is kept as.
_KEEPING: Final = frozenset({SHELL, SSH, HTTP, MODEL, ACT})


def secret(name: str, before: str = "") -> dict[str, str]:
    """Stand for the value of a run's secret: in a header, a variable, a password, what a command reads.

    Args:
        name: Its name, as it is given to the run.
        before: What is put in front of the value.
    """
    return {"$secret": name, **({"before": before} if before else {})}


def tool_id(function: Callable[..., Any]) -> str:
    """Give the id under which an agent has a function as a tool: ``module:name``."""
    return callables.register(function)


class StepActions:
    """Words for what a step does; each changes the step and gives it back."""

    _step: FlowStep
    _env: dict[str, Any]

    def _with(self, **values: Any) -> Self:
        self._step = replace(self._step, **values)
        return self

    def uses(self, verb: str, /, **inputs: Any) -> Self:
        """Ask an agent: ``uses("verifier.verify", ...)``; `inputs` are JSON values or references."""
        return self._with(uses=verb, function=None, with_=dict(inputs))

    #: The same under its other name.
    agent = uses

    def args(self, /, **values: Any) -> Self:
        """Add inputs."""
        return self._with(with_={**self._step.with_, **values})

    def env(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> Self:
        """Add environment variables of a command or container: texts, or secrets that are named."""
        self._env |= {**(values or {}), **more}
        return self

    # -- commands ----------------------------------------------------------------------------------------------------

    def shell(self, command: str) -> Self:
        """Run a command in ``/bin/sh``; its output is ``{"stdout", "exit_code", "truncated"}``."""
        return self.uses(SHELL, command=command)

    #: The same, for a text of several lines.
    script = shell

    def shell_type(self, program: str) -> Self:
        """Name the program that gets the command after ``-c``: ``/bin/bash``, ``python3``."""
        return self.args(shell=program)

    def dir(self, path: str) -> Self:
        """Name the folder in which a command runs."""
        return self.args(dir=path)

    def dotenv(self, *files: str) -> Self:
        """Name files of variables, which are read when the step runs."""
        return self.args(dotenv=list(files))

    def stdin(self, text: Any) -> Self:
        """Give a command what it reads: a text, or a secret that is named."""
        return self.args(stdin=text)

    def stdout(self, path: str) -> Self:
        """Write a command's output to a file as well; what it writes to stderr is part of it."""
        return self.args(stdout=path)

    #: The same: a command's two outputs are one, in the order in which it wrote.
    stderr = stdout

    def output(self, name: str) -> Self:
        """Keep the output in the run's state, for later steps: ``${{ state.NAME }}``."""
        if self._step.uses not in _KEEPING:
            hint = f"a step reads the result of another as `steps.{self._step.id}.output`"
            raise ValidationError(
                "only the output of commands and requests is kept so", where=self._step.where, hint=hint
            )
        return self.args(keep_as=name)

    def exit_codes(self, *codes: int) -> Self:
        """Say which exit codes are no failure."""
        return self.args(exit_codes=list(codes))

    def signal_on_stop(self, name: str) -> Self:
        """Say which signal a command gets when it is stopped; 5 seconds later it is killed."""
        return self.args(stop_signal=name)

    def max_output_size(self, size: int) -> Self:
        """Bound the bytes of output that the result keeps; the log has all of it."""
        return self.args(max_output=size)

    # -- functions ---------------------------------------------------------------------------------------------------

    def python(self, function: Callable[..., Any] | str, /, **arguments: Any) -> Self:
        """Call a function, given itself or as ``module:qualname``; `arguments` are JSON values or references."""
        if isinstance(function, str):
            name, where, guard = function, self._step.where, False
        else:
            name, where = callables.register(function), callables.place_of(function)
            guard = guard_of(function) is not None
        is_method = "." in name.partition(":")[2].rpartition("<locals>.")[2]
        return self._with(
            function=name, uses=None, is_method=is_method, where=where, has_guard=guard, with_=dict(arguments)
        )

    #: The same under its other name: a tool is a function.
    tool = python

    # -- containers --------------------------------------------------------------------------------------------------

    def docker(
        self,
        image: str,
        command: Iterable[str] | None = None,
        content: str | None = None,
        *,
        outbound: bool = True,
    ) -> Self:
        """Run a container; its output is the JSON value on the last line of its stdout.

        Args:
            image: What it is made from.
            command: What it runs; the image's own when None.
            content: In place of a command: a shell script.
            outbound: Whether it may reach other machines; its services it always reaches.
        """
        if content is not None:
            command = ["/bin/sh", "-c", content]
        given: dict[str, Any] = {} if command is None else {"command": list(command)}
        if not outbound:
            given["outbound"] = False
        return self.uses(CONTAINER, image=image, **given)

    def tool_def(self, image: str, content: str, **args: Any) -> Self:
        """Run a script in a container; it finds each of `args` in a variable of that name, in upper case."""
        texts = {name.upper(): value if isinstance(value, str | dict) else str(as_json(value, what=name))
                 for name, value in args.items()}  # fmt: skip
        return self.docker(image, content=content).env(texts)

    def with_service(
        self,
        name: str,
        image: str,
        env: Mapping[str, Any] | None = None,
        command: Iterable[str] | None = None,
        ready: Iterable[str] | None = None,
    ) -> Self:
        """Let a container run beside the step's, which finds it under its name.

        Args:
            name: Its name on the network that only these containers share.
            image: What it is made from.
            env: Its variables: texts, or secrets that are named.
            command: What it runs; the image's own when None.
            ready: A command in it that ends well once it can be used.
        """
        said = {
            "env": dict(env or {}),
            "command": None if command is None else list(command),
            "ready": None if ready is None else list(ready),
        }
        return self._beside({"name": name, "image": image, **{key: value for key, value in said.items() if value}})

    def with_database(self, kind: str = "postgres") -> Self:
        """Let a database run beside it: postgres, mysql, mongodb, redis."""
        return self._beside(known_service(kind, DATABASES, self._step.where))

    def with_cache(self, kind: str = "redis") -> Self:
        """Let a cache run beside it: redis, memcached."""
        return self._beside(known_service(kind, CACHES, self._step.where))

    def with_message_queue(self, kind: str = "rabbitmq") -> Self:
        """Let a broker run beside it: rabbitmq, kafka."""
        return self._beside(known_service(kind, QUEUES, self._step.where))

    def _beside(self, service: Mapping[str, Any]) -> Self:
        if self._step.uses != CONTAINER:
            raise ValidationError(
                "services run beside a container", where=self._step.where, hint="say `docker(image)` first"
            )
        return self.args(services=[*self._step.with_.get("services", ()), dict(service)])

    # -- others ------------------------------------------------------------------------------------------------------

    def http(
        self,
        url: Any,
        method: str = "GET",
        headers: Mapping[str, Any] | None = None,
        body: Any = None,
        **more: Any,
    ) -> Self:
        """Send a request; its output is ``{"status", "url", "headers", "data", "text"}``.

        Args:
            url: The address.
            method: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS.
            headers: Texts, or secrets that are named.
            body: A text, or what is sent as JSON.
            more: query, expect_status, expect_json, timeout, max_bytes.
        """
        said = {"method": None if method == "GET" else method, "headers": dict(headers or {}) or None, "body": body}
        return self.uses(HTTP, url=url, **{key: value for key, value in said.items() if value is not None}, **more)

    def ssh(self, host: str, command: str, user: str | None = None, port: int = 22, **more: Any) -> Self:
        """Run a command on another machine, whose host key must be known; its output is as a command's.

        Args:
            host: Its name or address.
            command: What its user's shell gets.
            user: Who logs in there.
            port: Where it listens.
            more: key_file, known_hosts, stdin, timeout, exit_codes.
        """
        said = {"user": user, "port": None if port == 22 else port}  # noqa: PLR2004  # the usual one
        return self.uses(
            SSH, host=host, command=command, **{key: value for key, value in said.items() if value is not None}, **more
        )

    def chat(self, prompt: str, system: str = "", **more: Any) -> Self:
        """Ask the configured language model; its output is ``{"text", "value", "model", ...}``.

        Args:
            prompt: The question.
            system: What goes before it.
            more: messages, model, temperature, max_tokens, as_json, timeout.
        """
        return self.uses(MODEL, prompt=prompt, **({"system": system} if system else {}), **more)

    def act(self, agent: AgentDefinition, prompt: str, tools: Iterable[ToolDefinition] = (), **more: Any) -> Self:
        """Let an agent work on a task; its output is ``{"text", "value", "iterations", "calls", ...}``.

        Args:
            agent: Who works: a model with tools, memory and a bound.
            prompt: The task.
            tools: Declared tools; those count that the agent names by their id.
            more: temperature, max_tokens, as_json, timeout.
        """
        from workflow_agent.authoring.agent_parts import agent_inputs  # noqa: PLC0415  # late: few steps do

        return self.uses(ACT, **agent_inputs(agent, tools), prompt=prompt, **more)

    def webhook(self, url: Any, text: str = "", **more: Any) -> Self:
        """Post ``{"text": text}``, or `data`, to an address; `more` are data, headers, timeout."""
        return self.uses("notify.webhook", url=url, **({"text": text} if text else {}), **more)

    def mail(self, to: str | Iterable[str], subject: str, text: str = "", **server: Any) -> Self:
        """Send a mail; `server` are sender, server, port, security, user, password, timeout."""
        given = [to] if isinstance(to, str) else list(to)
        return self.uses("notify.mail", to=given, subject=subject, text=text, **server)

    def note(self, path: str, text: str) -> Self:
        """Add a line to a file."""
        return self.uses("notify.file", path=path, text=text)

    def sub_workflow(self, workflow: str, /, **inputs: Any) -> Self:
        """Run another workflow, by its name; it has an id of its own, and its output is this step's."""
        return self.uses("workflow.run", workflow=workflow, **({"inputs": inputs} if inputs else {}))

    def wait(self, seconds: float) -> Self:
        """Wait; the time goes on while no process runs."""
        return self.uses("wait.timer", seconds=seconds)

    def wait_signal(self, name: str) -> Self:
        """Wait for a signal; its data is the output."""
        return self.uses("wait.signal", name=name)

    def choice(self, cases: Mapping[str, str], default: str | None = None, *, every: bool = False) -> Self:
        """Choose the first case whose expression holds (all that hold with `every`), or the default."""
        listed = [{"name": name, "when": f"${{{{ {condition} }}}}"} for name, condition in cases.items()]
        given = {"default": default, "every": every or None}
        return self.uses("flow.choice", cases=listed, **{key: value for key, value in given.items() if value})

    def emit(self, name: str, data: Any = None) -> Self:
        """Send a signal to the run itself."""
        return self.uses("flow.emit", name=name, **({} if data is None else {"data": data}))

    def end(self, status: str = "succeeded", **said: Any) -> Self:
        """End the run, with an ``output`` or a ``reason``."""
        return self.uses(END, status=status, **said)
