"""A small GitLab for runners: pipelines, job queue, traces, artifacts, the repository over git HTTP.

``app`` is the composition root, ``submission`` what comes in, ``events`` what goes out. Read
``state/lifecycle.py`` first, then ``state/engine.py``. From top to bottom; import-linter holds it:
``control`` over ``api``, ``children``, ``dispatch``, ``state``, ``sources``, ``storage``.
"""
