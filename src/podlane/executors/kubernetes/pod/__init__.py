"""One job in its pod. Read ``environment`` first, then ``podrun``."""
