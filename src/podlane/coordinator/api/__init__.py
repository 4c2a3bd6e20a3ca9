"""HTTP for runners and their jobs: a module for each family of routes; ``answers`` they share."""
