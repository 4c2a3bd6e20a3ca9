"""What ``config.toml`` says: read key by key, checked, as frozen values, and followed when it changes.

Read ``settings`` first, then ``config_file``. ``flags`` makes options of a runner's keys.
"""
