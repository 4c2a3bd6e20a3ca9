"""Where a job can run. ``base`` is the contract; ``kubernetes`` fulfils it."""
