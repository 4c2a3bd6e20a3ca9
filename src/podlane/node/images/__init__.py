"""The image store: references, pulling, loading, building from packages, unpacked layers."""
