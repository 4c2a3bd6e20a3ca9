"""``[runners.kubernetes]``: ``keys`` has every key, ``decode`` reads and checks them."""
