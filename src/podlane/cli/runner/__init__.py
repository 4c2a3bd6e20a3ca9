"""What the commands of ``podlane runner`` share: ``config.toml``, its keys as options, the manager."""
