"""What others connect to: metrics and health at ``listen_address``, terminals at the session server.

``doors`` opens both and moves them with the settings; read it first.
"""
