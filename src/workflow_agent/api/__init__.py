"""The HTTP API: a thin translation of requests to what drives runs, and of what becomes of them to answers.

port (what it needs of the application) · orders (what is asked for) · problems (errors as answers) · guards (who may
ask) · streams (server-sent events) · routes · server
"""
