"""Workflow Agent: changes systems safely.

Layers, top to bottom (a row imports only from rows below it; import-linter checks it)::

    cli            what a person types
    app            composition root
    agents         actors on the bus
    engine         run state machine and its driver
    integrations | scripts
    authoring      front ends that compile to the model
    targets        transactions on a host
    store | bus
    model          frozen data, ports, errors

``testing`` may import everything.
"""

from __future__ import annotations

from workflow_agent._version import __version__

__all__ = ["__version__"]
