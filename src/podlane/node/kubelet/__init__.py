"""Makes containers match pods. ``sync`` decides (pure), ``worker`` acts, ``status`` reports (pure)."""
