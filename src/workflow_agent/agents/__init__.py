"""The system agents on the bus: thin actors that parse a message, call a service, and reply.

serving (verbs, cancel) · knowledge · script_builder · validator · executor (with output_log) · verifier ·
recovery · person
"""

from __future__ import annotations
