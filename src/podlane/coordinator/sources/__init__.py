"""The sources that jobs get: a commit of the working tree as it is, in a ``repository`` of ours."""
