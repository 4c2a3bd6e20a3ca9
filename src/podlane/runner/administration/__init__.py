"""What changes the runners that GitLab knows, and ``config.toml`` with them.

``registration`` adds one, ``maintenance`` verifies, removes and renews, ``rotation`` does so before a
token expires. ``roster`` chooses among them; only ``config_edit`` writes the file.
"""
