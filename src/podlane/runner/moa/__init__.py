"""Moa, GitLab's expression language for what is known when a job runs: ``${{ job.inputs.name }}``.

Written from GitLab's reference (docs.gitlab.com/ci/functions/moa). Text becomes tokens (``tokens``),
these a tree (``parser``, ``nodes``), and that a value (``evaluate``, ``values``). What the reference
leaves open is an error that says so, never a guess. Read ``template`` first.
"""
