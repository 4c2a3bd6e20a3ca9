"""A waiting job to the runner that asks: what it is handed (``payload``), and what that is made of."""
