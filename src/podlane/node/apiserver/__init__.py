"""The HTTP half of the node: decode, admit, store, watch, encode; and the log and exec streams."""
