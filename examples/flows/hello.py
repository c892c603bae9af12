"""The smallest durable workflow: run it twice, and the second answer comes from the journal."""  # noqa: INP001  # a script

from workflow_agent import WorkflowClient, workflow


@workflow
def hello(name: str = "world") -> str:
    """Greets."""
    return f"Hello, {name}!"


if __name__ == "__main__":
    print(WorkflowClient().run(hello, input={"name": "you"}, idempotency_key="first"))  # noqa: T201  # its purpose
