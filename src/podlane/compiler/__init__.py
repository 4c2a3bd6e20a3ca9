"""``.gitlab-ci.yml`` to jobs, as GitLab does it. Read ``compile.py`` first.

Pure: files come through a ``Fetcher``, the context (variables, event, clock) as arguments. The passes
go through ``files``, ``jobs``, ``variables`` and ``selection`` to ``output``, on trees of ``source``.
"""
