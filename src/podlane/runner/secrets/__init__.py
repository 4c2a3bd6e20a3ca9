"""``secrets`` of a job: read from where they are kept, before anything else happens.

``resolve`` is the entry: it expands, reads each secret with its provider's module and makes masked
variables. A provider is one function from its part of the payload to the value, over ``http``.
"""
