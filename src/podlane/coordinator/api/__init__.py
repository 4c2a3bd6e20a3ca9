"""The HTTP routes of runners and their jobs, a module for each family; ``answers`` they share."""
