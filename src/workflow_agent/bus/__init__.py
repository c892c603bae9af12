"""Carriers of messages: implementations of `model.ports.Bus`, each under ``tests/contract/bus_contract.py``."""

from __future__ import annotations

from workflow_agent.bus.inprocess import InProcessBus

__all__ = ["InProcessBus"]
