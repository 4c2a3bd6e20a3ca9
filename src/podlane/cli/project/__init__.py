"""The project as the compiler sees it: files, what git knows, what the user asked. See ``directory``."""
