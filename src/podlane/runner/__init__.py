"""The runner manager: asks a GitLab (or our coordinator) for jobs and runs them with an executor.

Read ``job/jobrun.py`` first. ``app`` is the composition root, ``process`` puts signals, the file and
``listeners`` on top. From top to bottom; import-linter holds it: ``manager`` (and ``administration``)
over ``job``, ``scripts``, ``configuration``, ``cache``.
"""
