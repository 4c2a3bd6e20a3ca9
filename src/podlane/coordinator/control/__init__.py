"""What ``podlane run`` asks and sees: of this process by ``service``, of another by ``remote``."""
