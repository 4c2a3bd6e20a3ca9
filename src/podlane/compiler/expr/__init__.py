"""The language of ``rules:if``: tokens, parser, nodes, evaluation. Never ``eval``.

Used by ``rules``, ``workflow:rules``, ``include:rules``, ``only:variables`` and ``spec:inputs:rules``.
"""
