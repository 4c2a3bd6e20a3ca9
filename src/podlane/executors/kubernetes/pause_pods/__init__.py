"""Pause pods (``autoscaler``): pods that wait, and whose room on the nodes the next jobs get at once.

Read ``keeper`` first. ``policy`` says how many there are to be, ``decide`` what to make and to delete,
``manifest`` what they are (all pure); ``standby`` is what outlasts a change of the settings.
"""
